import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";

test("the wall clock is in epoch milliseconds", () => {
  const [before, now, after] = [Date.now(), systemClock.now(), Date.now()];
  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThanOrEqual(after);
});

test("the monotonic clock never goes back", () => {
  const readings = Array.from({ length: 1_000 }, () => systemClock.monotonicMs());
  expect(readings).toEqual(readings.toSorted((a, b) => a - b));
});
