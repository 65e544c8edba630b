// `expires_after` and `output_expires_after` in JSON bodies: how long a file is kept.
import { Type } from "typebox";
import { EXPIRES_AFTER_MAX_SECONDS, EXPIRES_AFTER_MIN_SECONDS } from "../../core/limits.ts";

export const expiresAfter = Type.Unsafe<{ anchor: "created_at"; seconds: number } | null>({
  type: ["object", "null"],
  required: ["anchor", "seconds"],
  properties: {
    anchor: { type: "string", enum: ["created_at"] },
    seconds: {
      type: "integer",
      minimum: EXPIRES_AFTER_MIN_SECONDS,
      maximum: EXPIRES_AFTER_MAX_SECONDS,
    },
  },
});
