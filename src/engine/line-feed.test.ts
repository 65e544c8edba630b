import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { LineFeed, type LoadedLine } from "./line-feed.ts";
import { encodePlanEntry, PLAN_ENTRY_BYTES, type PlanEntry, PlanSlice } from "./plan.ts";

const place = openWorkplace();
let blobs: BlobStore;

beforeAll(async () => {
  blobs = await openDiskBlobStore({ directory: place.path("data") });
});

afterAll(async () => {
  await blobs.close();
  place[Symbol.dispose]();
});

interface Setup {
  /** Body sizes, one for each line of the file. */
  sizes: readonly number[];
  /** Line positions in the order of sending; all of them when left out. */
  order?: readonly number[];
  /** Takes the place of the reader. */
  reader?: (real: BlobReader) => Partial<BlobReader>;
}

const bodyOf = (line: number, size: number) => Buffer.alloc(size, `body ${line} `);

/** A feed over a file of such lines, and what it tells. */
async function feedOf({ sizes, order = sizes.map((_, at) => at), reader }: Setup) {
  const writer = await blobs.create("input");
  const entries: PlanEntry[] = [];
  let start = 0;
  for (const [at, size] of sizes.entries()) {
    const customId = `"id-${at}"`;
    const line = Buffer.concat([Buffer.from(customId), bodyOf(at, size)]);
    await writer.write(Buffer.concat([line, Buffer.from("\n")]));
    entries.push({
      lineNumber: at + 1,
      lineStart: start,
      lineLength: line.length,
      bodyStart: customId.length,
      bodyLength: size,
      customIdStart: 0,
      customIdLength: customId.length,
    });
    start += line.length + 1;
  }
  await writer.commit();
  const plan = new Uint8Array(order.length * PLAN_ENTRY_BYTES);
  const view = new DataView(plan.buffer);
  order.forEach((line, at) => encodePlanEntry(view, at * PLAN_ENTRY_BYTES, entries[line]!));
  const real = await blobs.open("input");
  const reads: number[] = [];
  const changed = reader?.(real) ?? {};
  const onReady = vi.fn<() => void>();
  const onFailure = vi.fn<(error: unknown) => void>();
  const feed = new LineFeed({
    reader: {
      sizeBytes: real.sizeBytes,
      close: () => real.close(),
      read: (from, length, into) => {
        reads.push(length);
        return (changed.read ?? real.read.bind(real))(from, length, into);
      },
    },
    plan: new PlanSlice(plan),
    indexes: order.map((_, at) => at),
    onReady,
    onFailure,
  });
  const ready = () => vi.waitFor(() => expect(feed.ready).toBe(true), { interval: 1 });
  /** Takes lines as they become ready, until there are no more. */
  const takeAll = async (): Promise<LoadedLine[]> => {
    const lines: LoadedLine[] = [];
    while (feed.remaining > 0) {
      await ready();
      lines.push(feed.take()!);
    }
    return lines;
  };
  return { feed, reads, onReady, onFailure, ready, takeAll, close: () => real.close() };
}

test("hands out the lines in the order of sending, with their body and custom_id", async () => {
  const sizes = [10, 2_000, 0, 700_000, 5, 300_000, 300_000];
  const order = [3, 0, 1, 6, 5, 4, 2];
  const { feed, takeAll, close } = await feedOf({ sizes, order });
  expect([feed.ready, feed.remaining]).toEqual([false, 7]);
  feed.fill();
  const lines = await takeAll();
  expect(lines.map(({ index, lineNumber }) => [index, lineNumber])).toEqual(
    order.map((line, at) => [at, line + 1]),
  );
  for (const { lineNumber, body, customId } of lines) {
    expect(Buffer.from(customId).toString()).toBe(`"id-${lineNumber - 1}"`);
    expect(bodyOf(lineNumber - 1, sizes[lineNumber - 1]!).equals(body)).toBe(true);
  }
  expect(feed.take()).toBeUndefined();
  await close();
});

test("lines that stand together are read together, and no more than about the read-ahead", async () => {
  const sizes = Array.from({ length: 1_000 }, () => 2_000);
  const { feed, reads, onReady, ready, takeAll, close } = await feedOf({ sizes });
  feed.fill();
  await ready();
  expect(onReady).toHaveBeenCalled();
  expect(reads).toHaveLength(1);
  expect(await takeAll()).toHaveLength(1_000);
  expect(Math.max(...reads)).toBeLessThanOrEqual(512 * 1024);
  expect(reads.length).toBeLessThan(6);
  await close();
});

test("lines that are being read still remain", async () => {
  const { feed, ready, close } = await feedOf({ sizes: [10, 10, 10] });
  feed.fill();
  expect([feed.ready, feed.remaining]).toEqual([false, 3]);
  await ready();
  expect(feed.remaining).toBe(3);
  feed.take();
  expect(feed.remaining).toBe(2);
  feed.stop();
  expect(feed.remaining).toBe(0);
  await close();
});

test("a line that is put back comes before those not yet read", async () => {
  const sizes = [300_000, 300_000, 300_000, 300_000];
  const { feed, ready, takeAll, close } = await feedOf({ sizes });
  feed.fill();
  await ready();
  const first = feed.take()!;
  feed.putBack(first.index);
  expect(feed.remaining).toBe(4);
  const rest = (await takeAll()).map(({ index }) => index);
  expect(rest.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
  expect(rest.indexOf(0)).toBeLessThan(3);
  feed.putBack(2);
  feed.putBack(1);
  expect((await takeAll()).map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([1, 2]);
  await close();
});

test("small lines that stand far apart hold no more memory than their own", async () => {
  const sizes = Array.from({ length: 200 }, (_, at) => (at % 2 === 0 ? 100 : 40_000));
  const order = sizes.flatMap((size, at) => (size === 100 ? [at] : []));
  const { feed, takeAll, close } = await feedOf({ sizes, order });
  feed.fill();
  const held = new Set((await takeAll()).map(({ body }) => body.buffer));
  const heldBytes = [...held].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(heldBytes).toBeLessThan(100 * 200);
  await close();
});

test("reads no further ahead than about the read-ahead, however far apart the lines stand", async () => {
  const sizes = Array.from({ length: 400 }, () => 12_000);
  const order = sizes.flatMap((_, at) => (at % 2 === 0 ? [at] : []));
  const { feed, reads, ready, close } = await feedOf({ sizes, order });
  feed.fill();
  await ready();
  expect(reads.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(1024 * 1024);
  await close();
});

test("a read whose lines were all released is used again; one that somebody may still read is not", async () => {
  const sizes = Array.from({ length: 600 }, () => 5_000);
  const { feed, ready, close } = await feedOf({ sizes });
  feed.fill();
  const buffers = new Set<ArrayBufferLike>();
  let last: LoadedLine | undefined;
  const texts: string[] = [];
  while (feed.remaining > 0) {
    await ready();
    last = feed.take()!;
    texts.push(Buffer.from(last.body).toString());
    buffers.add(last.body.buffer);
    feed.release(last, true);
  }
  expect(texts).toEqual(sizes.map((size, at) => bodyOf(at, size).toString()));
  expect(buffers.size).toBeLessThan(6);
  await close();

  const held = await feedOf({ sizes });
  held.feed.fill();
  const lines: LoadedLine[] = [];
  while (held.feed.remaining > 0) {
    await held.ready();
    const line = held.feed.take()!;
    lines.push(line);
    held.feed.release(line, line.index % 100 !== 50);
  }
  for (const { index, body } of lines.filter((line) => line.index % 100 === 50)) {
    expect(bodyOf(index, 5_000).equals(body)).toBe(true);
  }
  await held.close();
});

test("an input that can't be read is told once, and ends the feed", async () => {
  const broken = new Error("input/output error");
  const { feed, onFailure, onReady, close } = await feedOf({
    sizes: [10, 10],
    reader: () => ({ read: () => Promise.reject(broken) }),
  });
  feed.fill();
  await vi.waitFor(() => expect(onFailure.mock.calls).toEqual([[broken]]), { interval: 1 });
  feed.fill();
  expect([feed.ready, feed.remaining, onReady.mock.calls.length]).toEqual([false, 0, 0]);
  await close();
});

test("an input that has become shorter is such an error", async () => {
  const { feed, onFailure, close } = await feedOf({
    sizes: [10, 10],
    reader: (real) => ({
      read: async (from, length) => (await real.read(from, length)).subarray(1),
    }),
  });
  feed.fill();
  await vi.waitFor(() => expect(onFailure).toHaveBeenCalledOnce(), { interval: 1 });
  expect(String(onFailure.mock.calls[0]![0])).toContain("shorter than when it was planned");
  await close();
});

test.each(["answered", "failed"])(
  "a feed stopped during a read says nothing when that has %s",
  async (how) => {
    const read = Promise.withResolvers<Uint8Array>();
    const { feed, onFailure, onReady, close } = await feedOf({
      sizes: [10],
      reader: () => ({ read: () => read.promise }),
    });
    feed.fill();
    feed.stop();
    if (how === "failed") read.reject(new Error("file closed"));
    else read.resolve(new Uint8Array(16));
    await read.promise.catch(() => {});
    await new Promise(setImmediate);
    expect([onReady.mock.calls.length, onFailure.mock.calls.length]).toEqual([0, 0]);
    expect([feed.ready, feed.remaining, feed.take()]).toEqual([false, 0, undefined]);
    await close();
  },
);
