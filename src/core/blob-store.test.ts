import { expect, test } from "vitest";
import { badBlobKeys } from "../../test/support/bad-blob-keys.ts";
import { blobKeys, checkKey } from "./blob-store.ts";

test.each([
  "a",
  "files/file-AbC123",
  "batches/batch_1/journals/2-3",
  "a.b/..c/d..",
  "...",
  "-",
  "x".repeat(512),
])("%s is a key", (key) => expect(() => checkKey(key)).not.toThrow());

test.each(badBlobKeys)("%j is none", (key) => expect(() => checkKey(key)).toThrow(RangeError));

test("a refusal quotes no more than the beginning", () => {
  expect(() => checkKey(`?${"x".repeat(10_000)}`)).toThrow(/^Not a valid blob key: "\?x{99}"$/);
});

test("the places of all blobs are keys, and those of a batch are under its prefix", () => {
  const [batch, shard] = ["batch_0123456789abcdef0123456789abcdef", "shard_1"];
  const keys = [
    blobKeys.plan(batch, 1),
    blobKeys.journal(batch, shard, 2),
    blobKeys.answer(batch, shard, 2, 50_000),
  ];
  for (const key of keys) {
    expect(() => checkKey(key)).not.toThrow();
    expect(key.startsWith(blobKeys.batch(batch))).toBe(true);
  }
  expect(new Set(keys).size).toBe(keys.length);
  expect(blobKeys.file("file-1").startsWith(blobKeys.files)).toBe(true);
});

test("another epoch is another place", () => {
  expect(blobKeys.plan("b", 1)).not.toBe(blobKeys.plan("b", 2));
  expect(blobKeys.journal("b", "s", 1)).not.toBe(blobKeys.journal("b", "s", 2));
  expect(blobKeys.answer("b", "s", 1, 5)).not.toBe(blobKeys.answer("b", "s", 2, 5));
});
