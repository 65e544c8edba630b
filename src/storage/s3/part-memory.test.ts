import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_PARTS, PartMemory, SpareParts } from "./part-memory.ts";

const MB = 1024 * 1024;
const GB = 1024 * MB;

test("parts grow, so that 10,000 of them make a blob of 484 GB, and none is larger than 128 MB", () => {
  const spares = new SpareParts();
  const sizes = Array.from({ length: MAX_PARTS }, (_, nth) => {
    const memory = new PartMemory(spares, nth + 1);
    memory.release();
    return memory.limitBytes;
  });
  expect([sizes[0], sizes[1_999], sizes[2_000]]).toEqual([8 * MB, 8 * MB, 16 * MB]);
  expect(Math.max(...sizes)).toBe(128 * MB);
  expect(Math.floor(sizes.reduce((sum, size) => sum + size, 0) / GB)).toBe(484);
});

test("a part has the bytes that were added, whatever the chunks, and no more than fit", () => {
  const chunkSizes = fc.array(fc.integer({ min: 0, max: 3 * MB }), { maxLength: 6 });
  fc.assert(
    fc.property(chunkSizes, fc.constantFrom(1, 2), (sizes, partNumber) => {
      const memory = new PartMemory(new SpareParts(), partNumber);
      const chunks = sizes.map((size, nth) => Buffer.alloc(size, nth + 1));
      const taken = chunks.map((chunk) => memory.add(chunk));
      const expected = Buffer.concat(chunks).subarray(0, memory.limitBytes);
      expect(taken.reduce((sum, bytes) => sum + bytes, 0)).toBe(expected.length);
      expect(memory.bytes.equals(expected)).toBe(true);
      expect(memory.isFull).toBe(expected.length === memory.limitBytes);
    }),
    { numRuns: 30 },
  );
});

test("the memory of a part is used again once it is released, not before", () => {
  const spares = new SpareParts();
  const [first, second] = [new PartMemory(spares, 2), new PartMemory(spares, 3)];
  first.add(Buffer.from("first"));
  second.add(Buffer.from("second"));
  const { buffer } = first.bytes;
  expect(second.bytes.buffer).not.toBe(buffer);
  first.release();
  const third = new PartMemory(spares, 4);
  third.add(Buffer.from("third"));
  expect(third.bytes.buffer).toBe(buffer);
  expect([second.bytes.toString(), third.bytes.toString()]).toEqual(["second", "third"]);
});
