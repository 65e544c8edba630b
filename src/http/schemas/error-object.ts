// OpenAI's error envelope: the answer to every request that is refused.
import { type Static, Type } from "typebox";
import { nullable } from "./schema.ts";

export const ErrorObject = Type.Object(
  {
    error: Type.Object({
      message: Type.String(),
      type: Type.String(),
      param: nullable(Type.String()),
      code: nullable(Type.String()),
    }),
  },
  { $id: "Error", description: "Why the request was refused." },
);
export type ErrorObject = Static<typeof ErrorObject>;
