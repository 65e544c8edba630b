// The error in every answer that is no success. Beside it OpenAI's file routes send a `detail`.
import { object, orNull, text } from "./schema.ts";

export const errorSchema = object({
  message: text,
  type: text,
  param: orNull(text),
  code: orNull(text),
});
