// Reads how long a backend asks everybody to wait, in each form in use. What can't be read is no
// request to wait; what asks for more than ten minutes is cut to that.

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const MAX_RETRY_AFTER_MS = 10 * 60_000;
const NUMBER = /^\d+(?:\.\d+)?$/;
/** Each of the three forms of an HTTP date begins with a weekday; Date.parse takes much else. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/**
 * Milliseconds to wait by `retry-after-ms`, or else by `retry-after`: seconds or an HTTP date. Null
 * when neither says so.
 * @param now epoch milliseconds
 */
export function readRetryAfter(headers: Headers, now: number): number | null {
  const { "retry-after-ms": ms, "retry-after": value } = headers;
  if (typeof ms === "string" && NUMBER.test(ms)) return limited(Number(ms));
  if (typeof value !== "string") return null;
  if (NUMBER.test(value)) return limited(Number(value) * 1000);
  return HTTP_DATE.test(value) ? limited(Date.parse(value) - now) : null;
}

function limited(ms: number): number | null {
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}
