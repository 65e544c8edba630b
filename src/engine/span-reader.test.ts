import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { type Span, SpanReader } from "./span-reader.ts";

const place = openWorkplace();
const content = Buffer.alloc(9 * 1024 * 1024);
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

/** The same blob, with its reads counted and the memory they went to. */
function counted(): { reader: BlobReader; reads: number[]; memory: Set<ArrayBufferLike> } {
  const reads: number[] = [];
  const memory = new Set<ArrayBufferLike>();
  const counting: BlobReader = {
    sizeBytes: reader.sizeBytes,
    read: async (start, length, into) => {
      reads.push(length);
      const bytes = await reader.read(start, length, into);
      memory.add(bytes.buffer);
      return bytes;
    },
    close: () => Promise.resolve(),
  };
  return { reader: counting, reads, memory };
}

/** The bytes of each span, in the order asked for. */
async function readSpans(from: BlobReader, spans: readonly Span[]): Promise<Uint8Array[]> {
  const read: Uint8Array[] = [];
  await new SpanReader().read(from, spans, (nth, bytes) => (read[nth] = Uint8Array.from(bytes)));
  return read;
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

test("no read is larger than four megabytes, unless one span is", async () => {
  const { reader: counting, reads } = counted();
  const spans = Array.from({ length: 900 }, (_, n) => ({ start: n * 10_000, length: 5_000 }));
  await readSpans(counting, spans);
  expect(Math.max(...reads)).toBeLessThanOrEqual(4 * 1024 * 1024);
  expect(reads.length).toBe(3);
  await readSpans(counting, [{ start: 7, length: 4_500_000 }]);
  expect(reads.at(-1)).toBe(4_500_000);
});

test("reads into the same memory again and again", async () => {
  const { reader: counting, reads, memory } = counted();
  const spans = new SpanReader();
  for (const start of [0, 1_000_000, 500]) {
    await spans.read(counting, [{ start, length: 100_000 }], () => {});
  }
  expect([reads.length, memory.size]).toEqual([3, 1]);
});

test("a blob that ends before a span does is an error", async () => {
  const spans = [{ start: content.length - 5, length: 6 }];
  await expect(readSpans(reader, spans)).rejects.toThrow("a blob is shorter than its index says");
  expect(await readSpans(reader, [{ start: content.length, length: 0 }])).toEqual([
    new Uint8Array(0),
  ]);
});
