import { expect, test } from "vitest";
import {
  type BatchStatus,
  batchStatuses,
  cancellableStatuses,
  statusTransitions,
  terminalStatuses,
} from "./batch.ts";

test("the eight statuses of the contract", () => {
  expect(batchStatuses.toSorted()).toEqual([
    "cancelled",
    "cancelling",
    "completed",
    "expired",
    "failed",
    "finalizing",
    "in_progress",
    "validating",
  ]);
});

test("nothing follows an end", () => {
  expect(terminalStatuses.toSorted()).toEqual(["cancelled", "completed", "expired", "failed"]);
});

test("a batch can be cancelled until it has ended or is being cancelled", () => {
  expect(cancellableStatuses.toSorted()).toEqual(["finalizing", "in_progress", "validating"]);
});

/** All statuses that can come after `from`, at once or later. */
function reachable(from: BatchStatus): Set<BatchStatus> {
  const found = new Set<BatchStatus>();
  const open = [...statusTransitions[from]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (!found.has(next)) open.push(...statusTransitions[next]);
    found.add(next);
  }
  return found;
}

test("every status is reached from validating, and none of them again", () => {
  expect([...reachable("validating")].toSorted()).toEqual(
    batchStatuses.filter((status) => status !== "validating").toSorted(),
  );
  for (const status of batchStatuses) expect(reachable(status)).not.toContain(status);
});

test("a batch that is cancelled ends as cancelled and as nothing else", () => {
  expect([...reachable("cancelling")]).toEqual(["cancelled"]);
});

test("expiry never touches finalizing", () => {
  expect(reachable("finalizing")).not.toContain("expired");
});
