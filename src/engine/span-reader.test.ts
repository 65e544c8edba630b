import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { readSpans } from "./span-reader.ts";

const place = openWorkplace();
const content = Buffer.alloc(3 * 1024 * 1024);
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE(at, at);
let blobs: BlobStore;
let reader: BlobReader;

beforeAll(async () => {
  blobs = await openDiskBlobStore({ directory: place.path("data") });
  const writer = await blobs.create("blob");
  await writer.write(content);
  await writer.commit();
  reader = await blobs.open("blob");
});

afterAll(async () => {
  await reader.close();
  await blobs.close();
  place[Symbol.dispose]();
});

/** The same blob, with its reads counted. */
function counted(): { reader: BlobReader; reads: number[] } {
  const reads: number[] = [];
  const counting: BlobReader = {
    sizeBytes: reader.sizeBytes,
    read: (start, length) => {
      reads.push(length);
      return reader.read(start, length);
    },
    close: () => Promise.resolve(),
  };
  return { reader: counting, reads };
}

test("answers the bytes of each span in the order asked for, however they lie", async () => {
  const span = fc.record({ start: fc.nat(content.length - 200_000), length: fc.nat(200_000) });
  await fc.assert(
    fc.asyncProperty(fc.array(span, { maxLength: 20 }), async (spans) => {
      const read = await readSpans(reader, spans);
      expect(read.length).toBe(spans.length);
      spans.forEach(({ start, length }, at) => {
        expect(content.subarray(start, start + length).equals(read[at]!)).toBe(true);
      });
    }),
  );
});

test("spans that stand close together are read together, others are not", async () => {
  const { reader: counting, reads } = counted();
  await readSpans(counting, [
    { start: 1_000_000, length: 10 },
    { start: 30_000, length: 10 },
    { start: 0, length: 10 },
    { start: 60_000, length: 10 },
  ]);
  expect(reads).toEqual([60_010, 10]);
});

test("no read is larger than a megabyte, unless one span is", async () => {
  const { reader: counting, reads } = counted();
  const spans = Array.from({ length: 300 }, (_, n) => ({ start: n * 10_000, length: 5_000 }));
  await readSpans(counting, spans);
  expect(Math.max(...reads)).toBeLessThanOrEqual(1024 * 1024);
  expect(reads.length).toBe(3);
  await readSpans(counting, [{ start: 7, length: 2_000_000 }]);
  expect(reads.at(-1)).toBe(2_000_000);
});

test("keeps nothing but what was asked for", async () => {
  const spans = Array.from({ length: 100 }, (_, n) => ({ start: n * 30_000, length: 10 }));
  const held = new Set((await readSpans(reader, spans)).map(({ buffer }) => buffer));
  const heldBytes = [...held].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(heldBytes).toBe(100 * 10);
});

test("a blob that ends before a span does is an error", async () => {
  const spans = [{ start: content.length - 5, length: 6 }];
  await expect(readSpans(reader, spans)).rejects.toThrow("a blob is shorter than its index says");
  expect(await readSpans(reader, [{ start: content.length, length: 0 }])).toEqual([
    new Uint8Array(0),
  ]);
});
