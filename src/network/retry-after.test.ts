import { expect, test } from "vitest";
import { readRetryAfter } from "./retry-after.ts";

const now = Date.UTC(2026, 10, 22, 12, 0, 0);
const longest = 600_000;

const cases: [what: string, headers: Record<string, string | string[]>, ms: number | null][] = [
  ["nothing", {}, null],
  ["seconds", { "retry-after": "7" }, 7_000],
  ["parts of seconds", { "retry-after": "0.25" }, 250],
  ["no wait", { "retry-after": "0" }, 0],
  ["milliseconds", { "retry-after-ms": "1500" }, 1_500],
  ["both: milliseconds count", { "retry-after-ms": "20", "retry-after": "9" }, 20],
  ["milliseconds that are none", { "retry-after-ms": "soon", "retry-after": "9" }, 9_000],
  ["empty milliseconds", { "retry-after-ms": "", "retry-after": "9" }, 9_000],
  ["a date", { "retry-after": "Sun, 22 Nov 2026 12:00:30 GMT" }, 30_000],
  ["a date in the old form", { "retry-after": "Sunday, 22-Nov-26 12:00:30 GMT" }, 30_000],
  ["a date in C's form", { "retry-after": "Sun Nov 22 12:00:30 2026 GMT" }, 30_000],
  ["a date gone by", { "retry-after": "Sun, 22 Nov 2026 11:59:00 GMT" }, 0],
  ["more than ten minutes", { "retry-after": "86400" }, longest],
  [
    "more than ten minutes, in milliseconds",
    { "retry-after-ms": "1e9".replace("e9", "000000000") },
    longest,
  ],
  ["a date next year", { "retry-after": "Mon, 22 Nov 2027 12:00:00 GMT" }, longest],
  ["a negative number", { "retry-after": "-5" }, null],
  ["a number with its unit", { "retry-after": "120 seconds" }, null],
  ["a number in other spelling", { "retry-after": "1e3" }, null],
  ["infinity", { "retry-after-ms": "Infinity", "retry-after": "Infinity" }, null],
  ["a day without a date", { "retry-after": "Monday" }, null],
  ["words", { "retry-after": "later" }, null],
  ["nothing in it", { "retry-after": "" }, null],
  ["several of them", { "retry-after": ["1", "2"], "retry-after-ms": ["1", "2"] }, null],
];

test.each(cases)("%s", (_what, headers, ms) => expect(readRetryAfter(headers, now)).toBe(ms));
