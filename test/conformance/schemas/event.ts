// The body of a webhook: thin, for the receiver asks for the batch.
import { always, object, text, time } from "./schema.ts";

export const eventSchema = object({
  id: { type: "string", pattern: "^evt_" },
  object: always("event"),
  created_at: time,
  type: { enum: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"] },
  data: object({ id: text }),
});
