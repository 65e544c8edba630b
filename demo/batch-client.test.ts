// The demo's own judge: every request is exactly once in exactly one file, or the demo fails.

import { describe, expect, it } from "vitest";
import { type BatchRequest, type BatchResult, checkEachOnce } from "./batch-client.ts";

const requests = ["a", "b", "c"].map((id): BatchRequest => {
  return { custom_id: id, method: "POST", url: "/v1/embeddings", body: {} };
});

function results(...ids: string[]): BatchResult<unknown>[] {
  return ids.map((id) => ({ custom_id: id, response: null, error: null }));
}

describe("checkEachOnce", () => {
  it("takes results in any order, from either file", () => {
    expect(() => checkEachOnce(requests, results("c", "a"), results("b"))).not.toThrow();
  });

  it.each([
    ["missing", results("a", "b"), results(), "c: 0 times"],
    ["twice in one file", results("a", "b", "c", "a"), results(), "a: 2 times"],
    ["in both files", results("a", "b", "c"), results("b"), "b: 2 times"],
    ["one that was not asked for", results("a", "b", "c", "d"), results(), "d: never asked for"],
  ])("refuses a result that is %s", (_, output, errors, expected) => {
    expect(() => checkEachOnce(requests, output, errors)).toThrow(expected);
  });
});
