// Checks of the members of a request's body, and the one wording of what is wrong with a member.
import { type Refusal, refusal } from "./refusal.ts";

export type Json = Record<string, unknown>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isWhole(
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** A 400 that names the member, says what was expected there and shows what came. */
export function wrong(param: string, expected: string, got: unknown): Refusal {
  const shown =
    typeof got === "string" ? JSON.stringify(got.slice(0, 40).toWellFormed()) : typeName(got);
  return refusal(400, `'${param}': expected ${expected}, got ${shown}.`, "invalid_value", param);
}

export function typeName(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
