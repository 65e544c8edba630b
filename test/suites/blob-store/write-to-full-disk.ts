// Run as a process whose files cannot grow beyond 256 KiB: writes a blob and a log that are larger,
// in the directory named by the first argument, and prints what it saw.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openDiskBlobStore } from "../../../src/storage/disk/disk-blob-store.ts";
import { keysOf, patternBytes } from "./blob-store-under-test.ts";

const directory = process.argv[2]!;
const store = await openDiskBlobStore({ directory });

async function failureOf(step: Promise<unknown>): Promise<{ code?: string }> {
  try {
    await step;
  } catch (error) {
    return error as { code?: string };
  }
  throw new Error("The limit on the size of files did not bite.");
}

const writer = await store.create("a/blob");
await writer.write(patternBytes(200_000));
const rest = async () => {
  await writer.write(patternBytes(300_000));
  await writer.commit();
};
const blobFailure = await failureOf(rest());
const unfinished = await readdir(join(directory, "tmp"));
await writer.abort();

const log = await store.createLog("a/log");
await log.append([patternBytes(200_000)]);
const parts = Array.from({ length: 100 }, () => patternBytes(1_000));
const logFailure = await failureOf(log.append(parts));
const laterFailure = await failureOf(log.append([patternBytes(1)]));

process.stdout.write(
  `${JSON.stringify({
    blob: blobFailure.code,
    unfinished,
    keys: await keysOf(store, "a/"),
    log: logFailure.code,
    sameFailure: laterFailure === logFailure,
    durableBytes: log.sizeBytes,
  })}\n`,
);
await log.close();
