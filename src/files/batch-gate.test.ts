import { expect, test } from "vitest";
import { checkBatchUpload } from "./batch-gate.ts";

const json = { startsWithJson: true };

test.each([
  "in.jsonl",
  "IN.JSONL",
  "a.b.jsonl",
  "upload",
  "unknown_file",
  "anonymous_file",
  "",
  ".jsonl",
  "name.",
  "dir.d/upload",
])("%j may hold a batch", (name) => {
  expect(() => checkBatchUpload(name, json)).not.toThrow();
});

test.each(["in.json", "in.txt", "in.jsonl.gz", "in.csv"])("%j may not", (name) => {
  expect(() => checkBatchUpload(name, json)).toThrow(
    "Invalid file format for Batch API. Must be .jsonl",
  );
});

test("content that does not start with JSON is refused whatever its name", () => {
  expect(() => checkBatchUpload("in.jsonl", { startsWithJson: false })).toThrow("Must be .jsonl");
});
