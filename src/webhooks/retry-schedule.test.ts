import { expect, it } from "vitest";
import { WEBHOOK_RETRY_MS } from "../core/webhook.ts";
import { nextAttemptAt } from "./retry-schedule.ts";

const CREATED_AT = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

/** The pause after so many attempts, at its shortest and its longest. */
function pauses(attempts: number, retryAfterMs: number | null = null): (number | null)[] {
  const delivery = { attempts, createdAt: CREATED_AT };
  return [0, 0.999_999_9].map((random) => {
    const at = nextAttemptAt(delivery, retryAfterMs, CREATED_AT, random);
    return at === null ? null : at - CREATED_AT;
  });
}

it.each([
  [1, 2_500, 5_000],
  [2, 5_000, 10_000],
  [3, 10_000, 20_000],
  [10, 1_280_000, 2_560_000],
  [11, HOUR_MS / 2, HOUR_MS],
  [1_000, HOUR_MS / 2, HOUR_MS],
])("after attempt %i the pause is %i to %i ms", (attempts, least, most) => {
  expect(pauses(attempts)).toEqual([least, most]);
});

it("waits as long as the receiver asks for, and never less than by itself", () => {
  expect(pauses(1, 60_000)).toEqual([60_000, 60_000]);
  expect(pauses(3, 0)).toEqual([10_000, 20_000]);
});

it("gives up three days after the event", () => {
  const delivery = { attempts: 80, createdAt: CREATED_AT };
  const end = CREATED_AT + WEBHOOK_RETRY_MS;
  expect(nextAttemptAt(delivery, null, end - HOUR_MS, 0.999_999_9)).toBe(end);
  expect(nextAttemptAt(delivery, null, end - HOUR_MS + 1, 0.999_999_9)).toBe(null);
  expect(nextAttemptAt(delivery, null, end + 30 * HOUR_MS, 0)).toBe(null);
});
