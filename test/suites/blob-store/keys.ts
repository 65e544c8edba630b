// Keys: what is refused, what is found, listed and deleted by prefix.

import { expect, it } from "vitest";
import type { BlobStore } from "../../../src/core/blob-store.ts";
import { NotFoundError } from "../../../src/core/store.ts";
import { badBlobKeys } from "../../support/bad-blob-keys.ts";
import { bytesOf, collect, contentOf, keysOf, put, textOf } from "./blob-store-under-test.ts";
import type { OpenBlobStore } from "./blob-store-under-test.ts";

const keyMethods: Record<string, (store: BlobStore, key: string) => Promise<unknown>> = {
  create: (store, key) => store.create(key),
  open: (store, key) => store.open(key),
  read: (store, key) => contentOf(store, key),
  delete: (store, key) => store.delete(key),
  createLog: (store, key) => store.createLog(key),
};
const prefixMethods: Record<string, (store: BlobStore, prefix: string) => Promise<unknown>> = {
  deleteAll: (store, prefix) => store.deleteAll(prefix),
  list: (store, prefix) => keysOf(store, prefix),
};

export function keyCases(open: OpenBlobStore): void {
  it.each(Object.keys(keyMethods))("%s refuses what is not a key", async (method) => {
    const { store } = await open();
    await put(store, "a/b", "kept");
    for (const key of badBlobKeys) {
      await expect(keyMethods[method]!(store, key), JSON.stringify(key)).rejects.toThrow(
        RangeError,
      );
    }
    expect(await keysOf(store, "a/")).toEqual(["a/b"]);
  });

  it.each(Object.keys(prefixMethods))("%s refuses what is not a prefix", async (method) => {
    const { store } = await open();
    await put(store, "a/b", "kept");
    for (const prefix of ["", "/", "a", "a/b", "a/bc", "../", "a/../", "a//", "/a/"]) {
      await expect(prefixMethods[method]!(store, prefix), prefix).rejects.toThrow(RangeError);
    }
    expect(await textOf(store, "a/b")).toBe("kept");
  });

  it("takes every character and length that a key may have", async () => {
    const { store } = await open();
    const segment = "AZaz09._-".repeat(11);
    const keys = ["a", "tmp/1", "...", "a.b/-/_", `${`${segment}/`.repeat(5)}${"x".repeat(12)}`];
    expect(keys.at(-1)).toHaveLength(512);
    for (const key of keys) await put(store, key, key);
    for (const key of keys) expect(await textOf(store, key)).toBe(key);
  });

  it("does not find what is missing", async () => {
    const { store } = await open();
    await put(store, "a/b", "x");
    for (const key of ["c", "a", "a/b/c", "a/bb"]) {
      await expect(store.open(key), key).rejects.toThrow(NotFoundError);
      const reading = store.read(key);
      await expect(collect(reading), key).rejects.toThrow(NotFoundError);
    }
  });

  it("deletes one blob or log; harmless when there is none", async () => {
    const { store } = await open();
    await put(store, "a/b", "x");
    await put(store, "a/c", "y");
    await (await store.createLog("a/log")).close();
    for (const key of ["a/b", "a/b", "a/log", "a", "a/c/d", "unknown/key"]) await store.delete(key);
    expect(await keysOf(store, "a/")).toEqual(["a/c"]);
    await put(store, "a/b", "again");
    expect(await textOf(store, "a/b")).toBe("again");
  });

  it("deletes all under a prefix, and nothing beside it", async () => {
    const { store } = await open();
    const gone = ["a/b/1", "a/b/c/2", "a/b/c/d/3"];
    const kept = ["a/bb/1", "a/x", "ab/1"];
    for (const key of [...gone, ...kept]) await put(store, key, key);
    const log = await store.createLog("a/b/log");
    await log.append([bytesOf("line")]);
    await log.close();
    await store.deleteAll("a/b/");
    await store.deleteAll("a/b/");
    await store.deleteAll("unknown/");
    expect(await keysOf(store, "a/b/")).toEqual([]);
    for (const key of kept) expect(await textOf(store, key)).toBe(key);
    for (const key of gone) await expect(store.open(key)).rejects.toThrow(NotFoundError);
    await put(store, "a/b/1", "again");
    expect(await textOf(store, "a/b/1")).toBe("again");
    // Also in folders that never were, below one that was deleted.
    await store.deleteAll("a/");
    await put(store, "a/new/folder/1", "new");
    expect(await textOf(store, "a/new/folder/1")).toBe("new");
  });

  it("lists what is under a prefix, with the time of its last change", async () => {
    const { store } = await open();
    const startedAt = Date.now();
    const keys = ["a/1", "a/b/2", "a/b/c/3"];
    for (const key of [...keys, "ab/1"]) await put(store, key, key);
    await (await store.createLog("a/log")).close();
    const unfinished = await store.create("a/unfinished");
    await unfinished.write(bytesOf("x"));
    const entries = await collect(store.list("a/"));
    expect(entries.map((entry) => entry.key).toSorted()).toEqual([...keys, "a/log"].toSorted());
    for (const { modifiedAt } of entries) {
      expect(Number.isInteger(modifiedAt)).toBe(true);
      // File systems may keep whole seconds only.
      expect(modifiedAt).toBeGreaterThan(startedAt - 2_000);
      expect(modifiedAt).toBeLessThan(Date.now() + 2_000);
    }
    expect(await keysOf(store, "a/b/")).toEqual(["a/b/2", "a/b/c/3"]);
    expect(await keysOf(store, "unknown/")).toEqual([]);
    expect(await keysOf(store, "a/1/")).toEqual([]);
    await unfinished.abort();
  });

  it("lists hundreds, also while they are deleted", async () => {
    const { store } = await open();
    const keys = Array.from({ length: 300 }, (_, index) => `a/${index % 7}/${index}`);
    await Promise.all(keys.map((key) => put(store, key, "x")));
    const seen: string[] = [];
    for await (const { key } of store.list("a/")) {
      seen.push(key);
      await store.delete(key);
    }
    expect(new Set(seen)).toEqual(new Set(keys));
    expect(await keysOf(store, "a/")).toEqual([]);
    await Promise.all(keys.slice(0, 100).map((key) => put(store, key, "x")));
    let listed = 0;
    for await (const { key } of store.list("a/")) {
      expect(keys).toContain(key);
      listed += 1;
      if (listed === 1) await store.deleteAll("a/");
    }
    // What was found before it was deleted may still be shown.
    expect(listed).toBeLessThanOrEqual(100);
    expect(await keysOf(store, "a/")).toEqual([]);
  });
}
