// Reads how long a server asks to wait. What can't be read is no request to wait.

/** Each of the three forms of an HTTP date begins with a weekday; Date.parse takes much else. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/**
 * Milliseconds to wait by a `retry-after` header, seconds or an HTTP date: 0 or more, without an upper
 * limit. Null when it doesn't say.
 * @param now epoch milliseconds
 */
export function readRetryAfter(value: unknown, now: number): number | null {
  if (typeof value !== "string") return null;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const at = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
