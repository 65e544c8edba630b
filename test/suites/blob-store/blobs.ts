// Blobs: writing, committing, replacing, reading.

import { expect, it } from "vitest";
import { NotFoundError } from "../../../src/core/store.ts";
import {
  bytesOf,
  contentOf,
  keysOf,
  patternBytes,
  put,
  readText,
  textOf,
} from "./blob-store-under-test.ts";
import type { OpenBlobStore } from "./blob-store-under-test.ts";

export function blobCases(open: OpenBlobStore): void {
  it.each([0, 1, 100, 65_536, 262_144, 262_145, 3_000_001])(
    "gives back %i bytes as they were written, whatever the chunks",
    async (sizeBytes) => {
      const { store } = await open();
      const content = patternBytes(sizeBytes);
      for (const chunkBytes of [777, 65_536, 262_144, 1_048_576]) {
        const writer = await store.create("a/blob");
        for (let start = 0; start < sizeBytes; start += chunkBytes) {
          await writer.write(content.subarray(start, start + chunkBytes));
          await writer.write(new Uint8Array(0));
        }
        expect(writer.sizeBytes).toBe(sizeBytes);
        await writer.commit();
        expect(Buffer.compare(await contentOf(store, "a/blob"), content)).toBe(0);
      }
    },
  );

  it("is done with a chunk when the write resolves", async () => {
    const { store } = await open();
    const writer = await store.create("blob");
    const chunk = new Uint8Array(10_000);
    for (let value = 1; value <= 60; value += 1) {
      await writer.write(chunk.fill(value));
    }
    chunk.fill(0);
    await writer.commit();
    const content = await contentOf(store, "blob");
    for (let value = 1; value <= 60; value += 1) {
      const part = content.subarray((value - 1) * 10_000, value * 10_000);
      expect(part.every((byte) => byte === value)).toBe(true);
    }
  });

  it("shows nobody a blob before it is committed", async () => {
    const { store } = await open();
    const writer = await store.create("a/blob");
    await writer.write(patternBytes(1_000_000));
    await expect(store.open("a/blob")).rejects.toThrow(NotFoundError);
    expect(await keysOf(store, "a/")).toEqual([]);
    await writer.commit();
    expect(await keysOf(store, "a/")).toEqual(["a/blob"]);
  });

  it("replaces what was under the key at commit, not before", async () => {
    const { store } = await open();
    await put(store, "a/blob", "first");
    const writer = await store.create("a/blob");
    await writer.write(bytesOf("second"));
    expect(await textOf(store, "a/blob")).toBe("first");
    await writer.commit();
    expect(await textOf(store, "a/blob")).toBe("second");
  });

  it("keeps the blob that is committed last of two", async () => {
    const { store } = await open();
    const [first, second] = [await store.create("blob"), await store.create("blob")];
    await first.write(bytesOf("first"));
    await second.write(bytesOf("second"));
    await second.commit();
    await first.commit();
    expect(await textOf(store, "blob")).toBe("first");
  });

  it("leaves no trace of an aborted blob", async () => {
    const { store } = await open();
    await put(store, "a/kept", "before");
    for (const key of ["a/kept", "a/new"]) {
      const writer = await store.create(key);
      await writer.write(patternBytes(600_000));
      await writer.abort();
      await writer.abort();
      await expect(writer.write(bytesOf("x"))).rejects.toThrow(Error);
      await expect(writer.commit()).rejects.toThrow(Error);
    }
    expect(await keysOf(store, "a/")).toEqual(["a/kept"]);
    expect(await textOf(store, "a/kept")).toBe("before");
  });

  it("keeps a committed blob that is aborted afterwards, as clean-up code does", async () => {
    const { store } = await open();
    const writer = await store.create("blob");
    await writer.write(bytesOf("kept"));
    await writer.commit();
    await writer.abort();
    expect(await textOf(store, "blob")).toBe("kept");
  });

  it("forgets what was unfinished at a restart, and keeps the rest", async () => {
    const { store, restart } = await open();
    await put(store, "a/kept", "kept");
    const unfinished = await store.create("a/unfinished");
    await unfinished.write(patternBytes(600_000));
    const next = await restart();
    expect(await keysOf(next, "a/")).toEqual(["a/kept"]);
    expect(await textOf(next, "a/kept")).toBe("kept");
    await put(next, "a/unfinished", "now");
    expect(await textOf(next, "a/unfinished")).toBe("now");
  });

  it("commits many blobs at the same time, also into folders being deleted", async () => {
    const { store } = await open();
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        await put(store, `a/${index % 3}/b/${index}`, `content ${index}`);
        if (index % 3 === 0) await store.deleteAll("a/0/b/");
      }),
    );
    await put(store, "a/0/b/last", "x");
    const keys = await keysOf(store, "a/");
    for (let index = 0; index < 60; index += 1) {
      if (index % 3 !== 0) expect(keys).toContain(`a/${index % 3}/b/${index}`);
    }
    expect(keys).toContain("a/0/b/last");
  });

  it("streams a range of a blob", async () => {
    const { store } = await open();
    await put(store, "blob", "0123456789");
    const range = (start: number, end: number) => textOf(store, "blob", { start, end });
    expect(await range(0, 10)).toBe("0123456789");
    expect(await range(3, 7)).toBe("3456");
    expect(await range(3, 3)).toBe("");
    expect(await range(7, 3)).toBe("");
    expect(await range(8, 100)).toBe("89");
    expect(await range(10, 20)).toBe("");
    expect(await range(50, 60)).toBe("");
    const content = patternBytes(1_000_000);
    await put(store, "large", content);
    const part = await contentOf(store, "large", { start: 99, end: 900_001 });
    expect(Buffer.compare(part, content.subarray(99, 900_001))).toBe(0);
  });

  it("hands out chunks that belong to the reader, who may stop early", async () => {
    const { store } = await open();
    const content = patternBytes(1_000_000);
    await put(store, "blob", content);
    const chunks: Uint8Array[] = [];
    for await (const chunk of store.read("blob")) {
      chunks.push(chunk.slice());
      chunk.fill(0);
    }
    expect(Buffer.compare(Buffer.concat(chunks), content)).toBe(0);
    for await (const chunk of store.read("blob")) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });

  it("reads at offsets", async () => {
    const { store } = await open();
    await put(store, "blob", "0123456789");
    const reader = await store.open("blob");
    expect(reader.sizeBytes).toBe(10);
    expect(await readText(reader, 0, 4)).toBe("0123");
    expect(await readText(reader, 7, 100)).toBe("789");
    expect(await readText(reader, 4, 0)).toBe("");
    expect(await readText(reader, 10, 5)).toBe("");
    expect(await readText(reader, 99, 5)).toBe("");
    const parts = await Promise.all(
      Array.from({ length: 10 }, (_, index) => readText(reader, 9 - index, 1)),
    );
    expect(parts.join("")).toBe("9876543210");
    const mine = await reader.read(0, 10);
    mine.fill(0);
    expect(await readText(reader, 0, 10)).toBe("0123456789");
    await reader.close();
  });

  it("reads into the memory it is given", async () => {
    const { store } = await open();
    await put(store, "blob", "0123456789");
    const reader = await store.open("blob");
    const memory = bytesOf("________");
    const part = await reader.read(7, 5, memory);
    expect(Buffer.from(part).toString()).toBe("789");
    expect(part.buffer).toBe(memory.buffer);
    expect(Buffer.from(memory).toString()).toBe("789_____");
    await reader.close();
  });

  it("may be read on when it is deleted or replaced meanwhile, or is not found", async () => {
    const { store } = await open();
    await put(store, "blob", "before");
    for (const change of [() => put(store, "blob", "behind"), () => store.delete("blob")]) {
      const expected = await textOf(store, "blob");
      const reader = await store.open("blob");
      await change();
      const outcome = await readText(reader, 0, 6).catch((error: Error) => error.name);
      expect([expected, NotFoundError.name]).toContain(outcome);
      await reader.close();
    }
  });

  it("knows how much room there is, or that there is no known bound", async () => {
    const { store } = await open();
    const freeBytes = await store.freeBytes();
    if (freeBytes !== undefined) expect(freeBytes).toBeGreaterThan(0);
    expect(["number", "undefined"]).toContain(typeof freeBytes);
  });
}
