// Answers that are not a success, as values, and their spelling in OpenAI's error envelope.

export interface Refusal {
  status: number;
  message: string;
  code: string | null;
  param: string | null;
}

/** A refusal with a status of its own words. */
export function refusal(
  status: number,
  message: string,
  code: string | null = null,
  param: string | null = null,
): Refusal {
  return { status, message, code, param };
}

/** A refusal made on purpose: by a mode, a directive in the prompt or the failure rate. */
export function simulatedRefusal(status: number, cause: string): Refusal {
  return refusal(status, `Simulated ${status}: ${cause}.`, CODES.get(status) ?? null);
}

export function isRefusal(value: object): value is Refusal {
  return "status" in value;
}

/** The JSON body: `{"error": {message, type, param, code}}`. */
export function refusalBody({ status, message, code, param }: Refusal): string {
  return JSON.stringify({ error: { message, type: errorType(status), param, code } });
}

const CODES = new Map([
  [401, "invalid_api_key"],
  [429, "rate_limit_exceeded"],
  [503, "service_unavailable"],
]);

function errorType(status: number): string {
  if (status >= 500) return "server_error";
  return status === 429 ? "requests" : "invalid_request_error";
}
