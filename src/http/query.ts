// Query strings: of keys given twice the last counts, and keys a route does not know are ignored.
import { ApiError } from "../core/api-error.ts";
import type { PageLimit } from "./schemas/schema.ts";
import { aboveMaximum, belowMinimum, unsupportedValue, wrongType } from "./wording.ts";

export type Query = Readonly<Record<string, string | string[] | undefined>>;

export function queryValue(query: unknown, key: string): string | undefined {
  const value = (query as Query)[key];
  return Array.isArray(value) ? value.at(-1) : value;
}

/** A whole number in the range; undefined without the key. @throws ApiError */
export function queryInteger(
  query: unknown,
  key: string,
  { min, max }: { min: number; max: number },
): number | undefined {
  const text = queryValue(query, key);
  if (text === undefined) return undefined;
  if (!/^[+-]?\d+$/.test(text)) throw wrongType(key, "an integer", "a string");
  const value = Number(text);
  if (value < min) throw belowMinimum(key, min, value);
  if (value > max) throw aboveMaximum(key, max, value);
  return value;
}

/** `limit`. @throws ApiError */
export function queryLimit(query: unknown, { fallback, ...range }: PageLimit): number {
  return queryInteger(query, "limit", range) ?? fallback;
}

/** `order`; newest first unless it is "asc". @throws ApiError */
export function queryOrder(query: unknown): "asc" | "desc" {
  const order = queryValue(query, "order") ?? "desc";
  if (order === "asc" || order === "desc") return order;
  throw unsupportedValue("order", order, ["asc", "desc"]);
}

/** `after`, the last id of the page before; an empty one is none. */
export function queryAfter(query: unknown): { after?: string } {
  const after = queryValue(query, "after");
  return after ? { after } : {};
}

/** Runs `read`; its refusal loses code and param, which OpenAI leaves null on some routes. */
export function withoutDetails<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof ApiError ? new ApiError(error.status, error.message) : error;
  }
}
