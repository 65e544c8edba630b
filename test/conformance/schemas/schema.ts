// The few words the schemas are written with. Of every object the wire has all members, always, in one
// order: so its schema lists them in that order, and each of them is required.

export interface JsonSchema {
  type?: string | readonly string[];
  properties?: Readonly<Record<string, JsonSchema>>;
  required?: readonly string[];
  additionalProperties?: boolean | JsonSchema;
  items?: JsonSchema;
  anyOf?: readonly JsonSchema[];
  enum?: readonly string[];
  const?: string | boolean;
  pattern?: string;
  minimum?: number;
  minLength?: number;
}

declare const described: unique symbol;
/** A schema, and what a value is that keeps to it. */
export type SchemaOf<T> = JsonSchema & { readonly [described]?: T };

/** An object with exactly these members, in this order. */
export function object(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const required = Object.keys(properties);
  return { type: "object", properties, required, additionalProperties: false };
}

export function orNull(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { type: "null" }] };
}

export function always(value: string | boolean): JsonSchema {
  return { const: value };
}

/** Never empty: what is not there is null. */
export const text: JsonSchema = { type: "string", minLength: 1 };
export const count: JsonSchema = { type: "integer", minimum: 0 };
/** Whole Unix seconds. Milliseconds would be in the year 50,000. */
export const time: JsonSchema = { type: "integer", minimum: 1_000_000_000 };
