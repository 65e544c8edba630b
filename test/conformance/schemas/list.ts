// Pages of lists, with and without cursors; and models, which come in a list without.
import { type SchemaOf, always, object, orNull, text, time } from "./schema.ts";

export interface Page<T> {
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

export interface WireModel {
  id: string;
  created: number;
  owned_by: string;
}

/** A page of a list that is walked with `after`. */
export function pageSchema<T>(item: SchemaOf<T>): SchemaOf<Page<T>> {
  return object({
    object: always("list"),
    data: { type: "array", items: item },
    first_id: orNull(text),
    last_id: orNull(text),
    has_more: { type: "boolean" },
  });
}

export const modelSchema: SchemaOf<WireModel> = object({
  id: text,
  object: always("model"),
  created: time,
  owned_by: text,
});

export const modelsSchema: SchemaOf<{ data: WireModel[] }> = object({
  object: always("list"),
  data: { type: "array", items: modelSchema },
});
