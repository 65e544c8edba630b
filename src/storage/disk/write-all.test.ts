import fc from "fast-check";
import { expect, it } from "vitest";
import { writeAll } from "./write-all.ts";

/** Takes at most so many bytes with each call, as a file may. */
function takingAtMost(byteCounts: number[]) {
  const taken: number[] = [];
  let mostBuffers = 0;
  let calls = 0;
  return {
    taken,
    mostBuffers: () => mostBuffers,
    async writev<T extends readonly NodeJS.ArrayBufferView[]>(buffers: T) {
      const bytes = (buffers as unknown as Uint8Array[]).flatMap((buffer) => [...buffer]);
      const limit = byteCounts[calls % byteCounts.length]!;
      calls += 1;
      mostBuffers = Math.max(mostBuffers, buffers.length);
      taken.push(...bytes.slice(0, limit));
      return { bytesWritten: Math.min(limit, bytes.length), buffers };
    },
  };
}

const somePart = fc.uint8Array({ maxLength: 6 });
const someLimits = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });

it("writes every byte in order, however little is taken at a time", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(somePart, { maxLength: 12 }), someLimits, async (parts, limits) => {
      const file = takingAtMost(limits);
      await writeAll(file, parts);
      expect(file.taken).toEqual(parts.flatMap((part) => [...part]));
    }),
  );
});

it("never passes more buffers at once than a system takes", async () => {
  const file = takingAtMost([100_000]);
  await writeAll(
    file,
    Array.from({ length: 3_000 }, (_, index) => Uint8Array.of(index)),
  );
  expect(file.taken).toHaveLength(3_000);
  expect(file.mostBuffers()).toBe(1_024);
});
