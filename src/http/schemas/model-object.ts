// A model that batches may name, as the API answers it.
import { type Static, Type } from "typebox";
import { Seconds, reference } from "./schema.ts";

export const ModelObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("model"),
    created: Seconds,
    owned_by: Type.String(),
  },
  { $id: "Model", description: "A model that batches may name." },
);
export type ModelObject = Static<typeof ModelObject>;

export const ModelList = Type.Object(
  { object: Type.Literal("list"), data: Type.Array(reference(ModelObject)) },
  { description: "All models that batches may name." },
);
export type ModelList = Static<typeof ModelList>;
