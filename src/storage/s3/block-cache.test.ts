import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openWorkplace, type Workplace } from "../../../test/support/workplace.ts";
import { BlockCache } from "./block-cache.ts";

let place: Workplace;
const warn = vi.fn<() => void>();

beforeEach(() => {
  place = openWorkplace();
  warn.mockReset();
});
afterEach(() => place[Symbol.dispose]());

const directory = () => place.path("cache");
const open = () => BlockCache.open({ directory: directory(), maxBytes: 100, log: { warn } });

async function read(
  cache: BlockCache,
  id: string,
  offset = 0,
  length = 1,
): Promise<number[] | null> {
  const into = new Uint8Array(length);
  return (await cache.read(id, offset, into)) ? [...into] : null;
}

test("begins empty, whatever was there", async () => {
  mkdirSync(directory());
  writeFileSync(`${directory()}/1`, "old");
  const cache = await open();
  expect(readdirSync(directory())).toEqual([]);
  expect(statSync(directory()).mode & 0o777).toBe(0o700);
  expect(await read(cache, "a")).toBeNull();
});

test("gives back parts of what it keeps, and gives up what was used least recently", async () => {
  const cache = await open();
  for (const [nth, id] of ["a", "b", "c"].entries()) {
    await cache.keep(id, new Uint8Array(30).fill(nth + 1));
  }
  expect(await read(cache, "a", 29)).toEqual([1]);
  expect(await read(cache, "b", 10, 2)).toEqual([2, 2]);
  expect(await read(cache, "a", 0, 30)).toEqual(new Array(30).fill(1));
  await cache.keep("d", new Uint8Array(60));
  expect(["a", "b", "c", "d"].map((id) => cache.has(id))).toEqual([true, false, false, true]);
  expect(readdirSync(directory())).toHaveLength(2);
});

test("does not keep what is larger than all of it", async () => {
  const cache = await open();
  await cache.keep("a", new Uint8Array(50));
  expect([cache.accepts(100), cache.accepts(101)]).toEqual([true, false]);
  await cache.keep("b", new Uint8Array(101));
  expect(["a", "b"].map((id) => cache.has(id))).toEqual([true, false]);
});

test("never holds more than its bound, also while many are written", async () => {
  const cache = await open();
  const ids = Array.from({ length: 40 }, (_, nth) => String(nth));
  await Promise.all(ids.map((id) => cache.keep(id, new Uint8Array(9))));
  await cache.keep("last", new Uint8Array(9));
  expect(readdirSync(directory()).length).toBeLessThanOrEqual(11);
  expect(cache.has("last")).toBe(true);
});

test("a file that is gone is a block that is not kept", async () => {
  const cache = await open();
  await cache.keep("a", new Uint8Array(10));
  rmSync(`${directory()}/1`);
  expect(await read(cache, "a")).toBeNull();
  await cache.keep("a", new Uint8Array(10).fill(7));
  expect(await read(cache, "a")).toEqual([7]);
});

test("after a write that failed it says so, and keeps nothing for a while", async () => {
  const cache = await open();
  rmSync(directory(), { recursive: true });
  await cache.keep("a", new Uint8Array(10));
  await cache.keep("b", new Uint8Array(10));
  expect([cache.has("a"), cache.has("b"), cache.accepts(1)]).toEqual([false, false, false]);
  expect(warn).toHaveBeenCalledOnce();
});
