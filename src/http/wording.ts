// Refusals of values in OpenAI's words: one function for each kind of mistake, used for members of
// JSON bodies, fields of forms and query keys alike.
import { ApiError } from "../core/api-error.ts";

/** Longest piece of a client's own value that is echoed in a message. */
const ECHOED_CHARACTERS = 200;

function echoed(value: string): string {
  const characters = value.slice(0, ECHOED_CHARACTERS).toWellFormed();
  return value.length > ECHOED_CHARACTERS ? `${characters}…` : characters;
}

function badValue(code: string, param: string, message: string): ApiError {
  return new ApiError(400, message, { code, param: echoed(param) });
}

export function missingParameter(name: string): ApiError {
  const message = `Missing required parameter: '${echoed(name)}'.`;
  return badValue("missing_required_parameter", name, message);
}

/** @param expected and @param got with their articles, such as "a string" */
export function wrongType(name: string, expected: string, got: string): ApiError {
  const message = `Invalid type for '${echoed(name)}': expected ${expected}, but got ${got} instead.`;
  return badValue("invalid_type", name, message);
}

export function unsupportedValue(
  name: string,
  value: string,
  supported: readonly string[],
): ApiError {
  const quoted = supported.map((item) => `'${item}'`);
  const hint =
    quoted.length === 1
      ? `Value must be ${quoted[0]}.`
      : `Supported values are: ${enumerate(quoted)}.`;
  return badValue("invalid_value", name, `Invalid value: '${echoed(value)}'. ${hint}`);
}

export function belowMinimum(name: string, minimum: number, got: number): ApiError {
  const message = `Invalid '${echoed(name)}': integer below minimum value. Expected a value >= ${minimum}, but got ${got} instead.`;
  return badValue("integer_below_min_value", name, message);
}

export function aboveMaximum(name: string, maximum: number, got: number): ApiError {
  const message = `Invalid '${echoed(name)}': integer above maximum value. Expected a value <= ${maximum}, but got ${got} instead.`;
  return badValue("integer_above_max_value", name, message);
}

/** @param got length in code points */
export function stringTooLong(name: string, maximum: number, got: number): ApiError {
  const message = `Invalid '${echoed(name)}': string too long. Expected a string with maximum length ${maximum}, but got a string with length ${got} instead.`;
  return badValue("string_above_max_length", name, message);
}

/** @param got length in code points */
export function propertyNameTooLong(
  object: string,
  property: string,
  maximum: number,
  got: number,
): ApiError {
  const message = `Invalid property name in '${object}': '${echoed(property)}' is too long. Expected a string with maximum length ${maximum}, but got a string with length ${got} instead.`;
  return badValue("property_name_above_max_length", `${object}.${property}`, message);
}

export function tooManyProperties(name: string, maximum: number, got: number): ApiError {
  const message = `Invalid '${echoed(name)}': too many properties. Expected an object with at most ${maximum} properties, but got an object with ${got} properties instead.`;
  return badValue("object_above_max_properties", name, message);
}

/** @param minimum length in code points */
export function stringTooShort(name: string, minimum: number, got: number): ApiError {
  const came = got === 0 ? "an empty string" : `a string with length ${got}`;
  const message = `Invalid '${echoed(name)}': string too short. Expected a string with minimum length ${minimum}, but got ${came} instead.`;
  return badValue("string_below_min_length", name, message);
}

export function wrongPattern(name: string, pattern: string): ApiError {
  const message = `Invalid '${echoed(name)}': string does not match pattern. Expected a string that matches the pattern '${pattern}'.`;
  return badValue("invalid_value", name, message);
}

export function arrayTooShort(name: string, minimum: number, got: number): ApiError {
  const came = got === 0 ? "an empty array" : `an array with length ${got}`;
  const message = `Invalid '${echoed(name)}': array too short. Expected an array with minimum length ${minimum}, but got ${came} instead.`;
  return badValue("array_below_min_length", name, message);
}

export function arrayTooLong(name: string, maximum: number, got: number): ApiError {
  const message = `Invalid '${echoed(name)}': array too long. Expected an array with maximum length ${maximum}, but got an array with length ${got} instead.`;
  return badValue("array_above_max_length", name, message);
}

/** @param first and @param second positions of two items that are the same */
export function repeatedItem(name: string, first: number, second: number): ApiError {
  const message = `Invalid '${echoed(name)}': the items at ${first} and ${second} are the same. Expected an array without repeated items.`;
  return badValue("invalid_value", name, message);
}

/** Code points of a text: what limits of lengths count. */
export function codePoints(text: string): number {
  return Array.from(text).length;
}

function enumerate(items: readonly string[]): string {
  const last = items.at(-1) ?? "";
  if (items.length <= 2) return items.join(" and ");
  return `${items.slice(0, -1).join(", ")}, and ${last}`;
}
