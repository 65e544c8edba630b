// What cases say of answers: shape, success, refusal. Each throws with what was expected and what came.
import { strict as assert } from "node:assert";
import { Compile } from "typebox/schema";
import { errorSchema } from "./schemas/error.ts";
import type { JsonSchema, SchemaOf } from "./schemas/schema.ts";
import type { Answer } from "./target.ts";

const validators = new Map<JsonSchema, ReturnType<typeof Compile>>();

/** The value is as the schema says, and the members of its objects are in the schema's order. */
export function checkShape(value: unknown, schema: JsonSchema): void {
  const validator = validators.get(schema) ?? Compile(schema);
  validators.set(schema, validator);
  if (!validator.Check(value)) {
    const [, errors] = validator.Errors(value);
    const found = errors.map(({ instancePath, message }) => `${instancePath || "/"} ${message}`);
    assert.fail(`${[...new Set(found)].join("; ")} in ${JSON.stringify(value)}`);
  }
  checkOrder(value, schema, "");
}

function checkOrder(value: unknown, schema: JsonSchema, path: string): void {
  if (value === null || typeof value !== "object") return;
  for (const option of schema.anyOf ?? []) checkOrder(value, option, path);
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items) value.forEach((item, index) => checkOrder(item, items, `${path}/${index}`));
  } else if (schema.properties) {
    assert.deepEqual(
      Object.keys(value),
      Object.keys(schema.properties),
      `the members of ${path || "the body"} are not those of OpenAI in OpenAI's order: ${Object.keys(value).join(", ")}`,
    );
    for (const [name, property] of Object.entries(schema.properties)) {
      checkOrder((value as Record<string, unknown>)[name], property, `${path}/${name}`);
    }
  }
}

/** The answer is a 200 with JSON of this shape, and typed as JSON. Gives its body. */
export function ok<T>(answer: Answer, schema: SchemaOf<T>): T {
  assert.equal(answer.status, 200, `expected 200, got ${shown(answer)}`);
  checkJsonType(answer);
  checkShape(answer.json, schema);
  return answer.json as T;
}

export function checkJsonType({ headers }: Answer): void {
  assert.match(headers.get("content-type") ?? "none", /^application\/json\b/, "the content type");
}

export interface Refusal {
  status: number;
  /** Of the error, `invalid_request_error` unless said. */
  type?: string;
  code?: string | null;
  param?: string | null;
  message?: string | RegExp;
}

/** The answer refuses, in the envelope, with whatever `refusal` says of the error. Gives the error. */
export function refused(answer: Answer, refusal: Refusal): Record<string, string | null> {
  const { status, type = "invalid_request_error", message, ...members } = refusal;
  assert.equal(answer.status, status, `expected ${status}, got ${shown(answer)}`);
  checkJsonType(answer);
  const { error } = answer.json as { error: Record<string, string | null> };
  checkShape(error, errorSchema);
  for (const [name, expected] of Object.entries({ type, ...members })) {
    assert.equal(error[name], expected, `error.${name} of ${answer.text}`);
  }
  if (message instanceof RegExp) assert.match(error["message"] ?? "", message);
  else if (message !== undefined) assert.equal(error["message"], message);
  return error;
}

export function shown({ status, text }: Answer): string {
  return `${status} ${text.slice(0, 500)}`;
}

/** `actual` has these members with these values. */
export function has(actual: object, expected: object): void {
  const picked = Object.keys(expected).map((name) => [
    name,
    (actual as Record<string, unknown>)[name],
  ]);
  assert.deepEqual(Object.fromEntries(picked), { ...expected });
}
