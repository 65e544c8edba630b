import fc from "fast-check";
import { expect, test } from "vitest";
import {
  BLOCK_BYTES,
  type Block,
  blobBlocks,
  logBlocks,
  type ObjectBlocks,
} from "./object-blocks.ts";
import type { StoredObject } from "./s3-listing.ts";

const objectOf = (sizeBytes: number, objectKey = "key"): StoredObject => ({
  objectKey,
  sizeBytes,
  etag: "etag",
  modifiedAt: 0,
});

function allOf(blocks: ObjectBlocks): Block[] {
  const all: Block[] = [];
  for (let at = 0; at < blocks.sizeBytes;) {
    const block = blocks.at(at) as Block;
    all.push(block);
    at = block.start + block.length;
  }
  return all;
}

/** Every byte of every object once and in order, as [object, start, end]. */
function rangesOf(blocks: readonly Block[]): [string, number, number][] {
  const ranges: [string, number, number][] = [];
  for (const { objectKey, start, length } of blocks.flatMap(({ pieces }) => pieces)) {
    const last = ranges.at(-1);
    if (last?.[0] === objectKey && last[2] === start) last[2] += length;
    else ranges.push([objectKey, start, start + length]);
  }
  return ranges;
}

const sizes = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 3 * BLOCK_BYTES })),
  { maxLength: 200 },
);

test("the blocks of a log have each byte of its segments once and in order, and none is large", () => {
  fc.assert(
    fc.property(sizes, (segmentSizes) => {
      const segments = segmentSizes.map((size, nth) => objectOf(size, `log!${nth}`));
      const blocks = logBlocks(segments);
      const all = allOf(blocks);
      const filled = segments.filter(({ sizeBytes }) => sizeBytes > 0);
      expect(rangesOf(all)).toEqual(
        filled.map(({ objectKey, sizeBytes }) => [objectKey, 0, sizeBytes]),
      );
      expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
      for (const { start, length, pieces } of all) {
        expect(length).toBeLessThanOrEqual(BLOCK_BYTES);
        expect(pieces.length).toBeLessThanOrEqual(64);
        expect(blocks.at(start)?.start).toBe(start);
        expect(blocks.at(start + length - 1)?.start).toBe(start);
      }
      expect(blocks.at(blocks.sizeBytes)).toBeUndefined();
    }),
  );
});

test("the blocks of a blob are aligned, and the last one is the rest", () => {
  const blocks = blobBlocks(objectOf(2 * BLOCK_BYTES + 5));
  expect(rangesOf(allOf(blocks))).toEqual([["key", 0, blocks.sizeBytes]]);
  expect(blocks.at(2 * BLOCK_BYTES + 4)).toMatchObject({ start: 2 * BLOCK_BYTES, length: 5 });
  expect(blocks.at(2 * BLOCK_BYTES + 5)).toBeUndefined();
  expect(blobBlocks(objectOf(0)).at(0)).toBeUndefined();
});

test("a log that has grown keeps the ids of the blocks that were full", () => {
  const before = Array.from({ length: 100 }, (_, nth) => objectOf(10, `log!${nth}`));
  const [full, rest] = allOf(logBlocks(before));
  const [sameFull, moreRest] = allOf(logBlocks([...before, objectOf(10, "log!100")]));
  expect(sameFull?.id).toBe(full?.id);
  expect(moreRest?.id).not.toBe(rest?.id);
});
