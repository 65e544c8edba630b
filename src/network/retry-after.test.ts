import { expect, it } from "vitest";
import { readRetryAfter } from "./retry-after.ts";

const NOW = Date.UTC(2026, 0, 1, 12);

it.each([
  ["0", 0],
  ["120", 120_000],
  ["Thu, 01 Jan 2026 12:01:00 GMT", 60_000],
  ["Thu, 01 Jan 2026 11:00:00 GMT", 0],
  ["-1", null],
  ["1.5", null],
  ["soon", null],
  ["Thursday", null],
  ["2026-01-01", null],
  ["", null],
  [undefined, null],
  [["1", "2"], null],
])("%j is %j ms", (value, ms) => {
  expect(readRetryAfter(value, NOW)).toBe(ms);
});
