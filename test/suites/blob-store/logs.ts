// Logs: durable appends, in order, under a key that is new.

import { expect, it } from "vitest";
import { ConflictError } from "../../../src/core/store.ts";
import { bytesOf, contentOf, keysOf, patternBytes, put, textOf } from "./blob-store-under-test.ts";
import type { OpenBlobStore } from "./blob-store-under-test.ts";

export function logCases(open: OpenBlobStore): void {
  it("appends parts in order, and shows them at once", async () => {
    const { store } = await open();
    const log = await store.createLog("a/log");
    expect(log.sizeBytes).toBe(0);
    expect(await textOf(store, "a/log")).toBe("");
    await log.append([bytesOf("one "), bytesOf(""), bytesOf("two ")]);
    expect(log.sizeBytes).toBe(8);
    expect(await textOf(store, "a/log")).toBe("one two ");
    await log.append([]);
    await log.append([bytesOf("three")]);
    expect(log.sizeBytes).toBe(13);
    const reader = await store.open("a/log");
    expect(reader.sizeBytes).toBe(13);
    await reader.close();
    await log.close();
    expect(await textOf(store, "a/log")).toBe("one two three");
  });

  it("says how far apart appends should be: at most a second", async () => {
    const { store } = await open();
    const log = await store.createLog("log");
    expect(log.appendEveryMs).toBeGreaterThanOrEqual(0);
    expect(log.appendEveryMs).toBeLessThanOrEqual(1_000);
    await log.close();
  });

  it("takes thousands of parts at once, empty ones among them", async () => {
    const { store } = await open();
    const log = await store.createLog("log");
    const content = patternBytes(50_000);
    const parts = Array.from({ length: 5_000 }, (_, index) =>
      content.subarray(index * 10, index * 10 + 10),
    );
    await log.append(parts.flatMap((part) => [new Uint8Array(0), part]));
    await log.append([patternBytes(3_000_000)]);
    expect(log.sizeBytes).toBe(3_050_000);
    await log.close();
    const expected = Buffer.concat([content, patternBytes(3_000_000)]);
    expect(Buffer.compare(await contentOf(store, "log"), expected)).toBe(0);
  });

  it("refuses a key that exists, and leaves it as it is", async () => {
    const { store } = await open();
    await put(store, "blob", "blob");
    const log = await store.createLog("log");
    await log.append([bytesOf("log")]);
    for (const key of ["blob", "log"]) {
      await expect(store.createLog(key)).rejects.toThrow(ConflictError);
      expect(await textOf(store, key)).toBe(key);
    }
    await log.append([bytesOf(" goes on")]);
    expect(await textOf(store, "log")).toBe("log goes on");
    await log.close();
  });

  it("gives a key to one of two who race for it", async () => {
    const { store } = await open();
    const outcomes = await Promise.allSettled([store.createLog("log"), store.createLog("log")]);
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"]);
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") await outcome.value.close();
      else expect(outcome.reason).toBeInstanceOf(ConflictError);
    }
  });

  it("keeps at a restart what was appended, whether it was closed or not", async () => {
    const { store, restart } = await open();
    const log = await store.createLog("a/log");
    await log.append([bytesOf("kept")]);
    const next = await restart();
    expect(await keysOf(next, "a/")).toEqual(["a/log"]);
    expect(await textOf(next, "a/log")).toBe("kept");
    await expect(next.createLog("a/log")).rejects.toThrow(ConflictError);
    await log.close();
  });

  it("takes nothing after it was closed, and nothing that was refused", async () => {
    const { store } = await open();
    const log = await store.createLog("log");
    await log.append([bytesOf("kept")]);
    await log.close();
    await expect(log.append([bytesOf("lost")])).rejects.toThrow(Error);
    expect(await textOf(store, "log")).toBe("kept");
    expect(log.sizeBytes).toBe(4);
  });

  it("can be created again under a key that was deleted", async () => {
    const { store } = await open();
    const first = await store.createLog("log");
    await first.append([bytesOf("first")]);
    await first.close();
    await store.delete("log");
    const second = await store.createLog("log");
    await second.append([bytesOf("second")]);
    await second.close();
    expect(await textOf(store, "log")).toBe("second");
  });
}
