import { expect, test } from "vitest";
import type { RunnableBatch } from "../core/store.ts";
import { byTurn } from "./claim-order.ts";

const batch = (batchId: string, expiresAt: number, createdAt: number): RunnableBatch => {
  return { batchId, expiresAt, createdAt, projectId: "p" } as RunnableBatch;
};
const turns = (batches: RunnableBatch[], active: string[] = []) =>
  byTurn(batches, new Set(active)).map(({ batchId }) => batchId);

test("the batch whose window ends first comes first, then the oldest", () => {
  const batches = [batch("a", 300, 1), batch("b", 100, 3), batch("c", 100, 2), batch("d", 200, 0)];
  expect(turns(batches)).toEqual(["c", "b", "d", "a"]);
});

test("batches of which nothing runs here come before all others", () => {
  const batches = [batch("large", 100, 1), batch("small", 900, 9), batch("other", 200, 2)];
  expect(turns(batches, ["large"])).toEqual(["other", "small", "large"]);
  expect(turns(batches, ["large", "other", "small"])).toEqual(["large", "other", "small"]);
});

test("among those of which nothing runs, whoever had a turn longest ago, or never, comes first", () => {
  const batches = [batch("a", 1, 1), batch("b", 2, 2), batch("c", 3, 3), batch("d", 4, 4)];
  const servedAt = new Map([
    ["a", 500],
    ["b", 300],
    ["d", 300],
  ]);
  expect(byTurn(batches, new Set(), servedAt).map(({ batchId }) => batchId)).toEqual([
    "c",
    "b",
    "d",
    "a",
  ]);
});

test("the list given is left as it is", () => {
  const batches = [batch("b", 2, 2), batch("a", 1, 1)];
  byTurn(batches, new Set());
  expect(batches.map(({ batchId }) => batchId)).toEqual(["b", "a"]);
});
