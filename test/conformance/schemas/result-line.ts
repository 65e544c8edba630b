// One line of an output or error file: an HTTP answer, or the reason why there is none.
import { type SchemaOf, object, orNull, text } from "./schema.ts";

export interface ResultLine {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  error: { code: string; message: string } | null;
}

export const resultLineSchema: SchemaOf<ResultLine> = object({
  id: { type: "string", pattern: "^batch_req_" },
  custom_id: text,
  response: orNull(
    object({
      status_code: { type: "integer", minimum: 0 },
      request_id: text,
      body: { type: "object" },
    }),
  ),
  error: orNull(object({ code: text, message: text })),
});
