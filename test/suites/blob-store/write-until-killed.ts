// Run as a process: commits blobs and appends to a log in the directory named by the first argument,
// while another blob stays unfinished, until it is killed. Prints the number of each durable record.

import { openDiskBlobStore } from "../../../src/storage/disk/disk-blob-store.ts";
import { bytesOf, patternBytes, put } from "./blob-store-under-test.ts";

const store = await openDiskBlobStore({ directory: process.argv[2]! });
const unfinished = await store.create("a/unfinished");
await unfinished.write(patternBytes(600_000));
const log = await store.createLog("a/log");
for (let number = 0; ; number += 1) {
  await put(store, `a/blobs/${number}`, `blob ${number}`);
  await log.append([bytesOf(`line ${number}\n`)]);
  process.stdout.write(`${number}\n`);
}
