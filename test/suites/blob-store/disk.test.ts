// What is particular to a directory: processes killed in the middle of a write, disks that are full,
// what lies where.

import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openDiskBlobStore } from "../../../src/storage/disk/disk-blob-store.ts";
import { keysOf, patternBytes, put, textOf } from "./blob-store-under-test.ts";
import { startScript } from "./child-script.ts";

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-disk-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

it("creates its directory, and the folders above it, for this user alone", async () => {
  const directory = join(await temporaryFolder(), "not", "yet");
  await put(await openDiskBlobStore({ directory }), "a/b", "x");
  for (const folder of [directory, join(directory, "blobs"), join(directory, "tmp")]) {
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  }
});

it("loses nothing that was durable when its process is killed, and keeps nothing unfinished", async () => {
  const directory = await temporaryFolder();
  const child = startScript(new URL("write-until-killed.ts", import.meta.url), [directory]);
  let acknowledged = 0;
  while (acknowledged < 50) acknowledged = Number(await child.nextLine());
  await child.kill();
  expect(await readdir(join(directory, "tmp"))).not.toEqual([]);
  const store = await openDiskBlobStore({ directory });
  expect(await readdir(join(directory, "tmp"))).toEqual([]);
  const keys = await keysOf(store, "a/");
  expect(keys).not.toContain("a/unfinished");
  const lines = (await textOf(store, "a/log")).split("\n");
  for (let number = 0; number <= acknowledged; number += 1) {
    expect(await textOf(store, `a/blobs/${number}`)).toBe(`blob ${number}`);
    expect(lines[number]).toBe(`line ${number}`);
  }
});

it("leaves no trace of a blob that did not fit, and takes nothing more into a log that failed", async () => {
  const directory = await temporaryFolder();
  const script = new URL("write-to-full-disk.ts", import.meta.url);
  const child = startScript(script, [directory], { fileSizeBlocks: 512 });
  expect(JSON.parse(await child.nextLine())).toEqual({
    blob: "EFBIG",
    unfinished: [],
    keys: ["a/log"],
    log: "EFBIG",
    sameFailure: true,
    durableBytes: 200_000,
  });
  const store = await openDiskBlobStore({ directory });
  const reader = await store.open("a/log");
  expect(Buffer.from(await reader.read(0, 200_000)).equals(patternBytes(200_000))).toBe(true);
  await reader.close();
});

it("makes its folders again when something else has removed them", async () => {
  const directory = await temporaryFolder();
  const store = await openDiskBlobStore({ directory });
  await put(store, "a/b/1", "x");
  await rm(join(directory, "blobs", "a"), { recursive: true });
  await put(store, "a/b/2", "y");
  await rm(join(directory, "blobs", "a"), { recursive: true });
  await (await store.createLog("a/b/log")).close();
  expect(await keysOf(store, "a/")).toEqual(["a/b/log"]);
});

it("ends at close what its users left open", async () => {
  const directory = await temporaryFolder();
  const store = await openDiskBlobStore({ directory });
  await put(store, "a/blob", "x");
  const reader = await store.open("a/blob");
  const log = await store.createLog("a/log");
  const writer = await store.create("a/unfinished");
  await store.close();
  await expect(reader.read(0, 1)).rejects.toThrow(Error);
  await expect(log.append([patternBytes(1)])).rejects.toThrow(Error);
  await expect(writer.commit()).rejects.toThrow(Error);
  for (const left of [reader, log]) await left.close();
  await writer.abort();
  expect(await readdir(join(directory, "tmp"))).toEqual([]);
});

it("writes and reads a large blob in the memory of a small one", async () => {
  const store = await openDiskBlobStore({ directory: await temporaryFolder() });
  const chunk = patternBytes(65_536);
  const chunks = 2_000;
  const before = process.memoryUsage.rss();
  const writer = await store.create("large");
  for (let index = 0; index < chunks; index += 1) await writer.write(chunk);
  await writer.commit();
  let readBytes = 0;
  for await (const part of store.read("large")) readBytes += part.length;
  expect(readBytes).toBe(chunks * chunk.length);
  expect(process.memoryUsage.rss() - before).toBeLessThan(readBytes / 2);
});

it("has a folder for each worker, who clears only its own", async () => {
  const directory = await temporaryFolder();
  const server = await openDiskBlobStore({ directory });
  const [first, second] = [1, 2].map((worker) => ({ directory, worker }));
  const stores = [server, await openDiskBlobStore(first!), await openDiskBlobStore(second!)];
  const writers = await Promise.all(stores.map((store, index) => store.create(`a/${index}`)));
  for (const [index, writer] of writers.entries()) await writer.write(patternBytes(index + 1));
  await stores[1]!.close();
  const restarted = await openDiskBlobStore(first!);
  const left = await readdir(join(directory, "tmp"), { recursive: true });
  expect(left.toSorted()).toEqual(["1", "worker-1", "worker-2", "worker-2/1"]);
  for (const index of [0, 2]) await writers[index]!.commit();
  expect(await keysOf(restarted, "a/")).toEqual(["a/0", "a/2"]);
  for (const store of [server, stores[2]!, restarted]) await store.close();
});
