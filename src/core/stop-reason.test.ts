import { expect, test } from "vitest";
import { graceMs, mayRecord, type StopReason, unfinishedLineError } from "./stop-reason.ts";

const reasons: [reason: StopReason, graceMs: number, mayRecord: boolean][] = [
  ["cancelled", 9_000, true],
  ["expired", 0, true],
  ["shutdown", 6_000, true],
  ["yield", Number.POSITIVE_INFINITY, true],
  ["input-away", Number.POSITIVE_INFINITY, true],
  ["input-damaged", 0, true],
  ["lease-lost", 0, false],
  ["storage-failed", 0, false],
];

test.each(reasons)("%s: lines in flight get %i ms; recording: %s", (reason, grace, records) => {
  expect(graceMs(reason, { cancelGraceMs: 9_000 })).toBe(grace);
  expect(mayRecord(reason)).toBe(records);
});

test("without a reason to stop, answers are recorded", () => expect(mayRecord(null)).toBe(true));

test("a shutdown waits no longer than a cancel would", () => {
  expect(graceMs("shutdown", { cancelGraceMs: 100 })).toBe(100);
});

test("lines without a result say why, in the contract's words", () => {
  expect(unfinishedLineError("expired")).toEqual({
    code: "batch_expired",
    message: "This request could not be executed before the completion window expired.",
  });
  expect(unfinishedLineError("cancelled")).toEqual({
    code: "batch_cancelled",
    message: "This request was not executed because the batch was cancelled.",
  });
});
