// What the schemas of the API are built with. A schema with an `$id` is written once in the OpenAPI
// document and referred to from everywhere else.
import { type Static, type TSchema, Type } from "typebox";

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/** One of these texts, as an `enum`: refusals list what it can be. */
export function oneOf<T extends string>(
  values: readonly T[],
  about: { description?: string } = {},
) {
  return Type.Unsafe<T>({ type: "string", enum: values, ...about });
}

/** Stands for a schema that has an `$id`. */
export function reference<T extends TSchema & { $id?: string }>(schema: T) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}

/** A page of a list. */
export function pageOf<T extends TSchema>(item: T) {
  return Type.Object(
    {
      object: Type.Literal("list"),
      data: Type.Array(item),
      first_id: nullable(Type.String()),
      last_id: nullable(Type.String()),
      has_more: Type.Boolean(),
    },
    { description: "A page of a list." },
  );
}

/** How many members a page may have. */
export interface PageLimit {
  min: number;
  max: number;
  /** When the client doesn't say. */
  fallback: number;
}

/** `limit` of a list. */
export function limitOf({ min, max, fallback }: PageLimit) {
  return Type.Integer({ minimum: min, maximum: max, description: `${fallback} when left out` });
}

/** Unix time in seconds. */
export const Seconds = Type.Integer({ description: "Unix time in seconds" });

/** The parameters of a path that names one thing. */
export const ById = Type.Object({ id: Type.String() });
