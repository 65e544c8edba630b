// Refusals as the wire has them, for tables of what is sent and what must come back.
import type { RawRequest } from "../../support/raw-http.ts";

export interface Refusal {
  status: number;
  code: string | null;
  param: string | null;
  message: string;
}

/**
 * What the row is about, the path, the request, and the refusal. `{failed}` in a path or a message
 * stands for the id of the batch, or file, that the test has made under that name.
 */
export type Row = [about: string, path: string, request: RawRequest, refusal: Refusal];

export const jsonHeaders = { "content-type": "application/json" };
export const post: RawRequest = { method: "POST" };

export const newBatch = {
  input_file_id: "file-1",
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
};

/** Largest batch input in these tests; other files may be twice as large. */
export const MAX_BYTES = 1_000;

export function bad(
  message: string,
  code: string | null = null,
  param: string | null = null,
): Refusal {
  return { status: 400, code, param, message };
}

export function missing(param: string): Refusal {
  return bad(`Missing required parameter: '${param}'.`, "missing_required_parameter", param);
}

export function wrongType(param: string, expected: string, got: string): Refusal {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
  return bad(message, "invalid_type", param);
}

export function belowMinimum(param: string, minimum: number, got: number): Refusal {
  const message = `Invalid '${param}': integer below minimum value. Expected a value >= ${minimum}, but got ${got} instead.`;
  return bad(message, "integer_below_min_value", param);
}

export function aboveMaximum(param: string, maximum: number, got: number): Refusal {
  const message = `Invalid '${param}': integer above maximum value. Expected a value <= ${maximum}, but got ${got} instead.`;
  return bad(message, "integer_above_max_value", param);
}

export function unsupportedType(came: string, route: string, expected: string): Refusal {
  const message = `Unsupported content type: '${came}'. ${route} takes ${expected}.`;
  return bad(message, "unsupported_content_type");
}
