// Holds every driver to the BlobStore's contract. Another driver is one more line of `drivers`.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, onTestFinished } from "vitest";
import { openDiskBlobStore } from "../../../src/storage/disk/disk-blob-store.ts";
import { S3Bucket } from "../../support/s3-bucket.ts";
import type { OpenBlobStore } from "./blob-store-under-test.ts";
import { blobCases } from "./blobs.ts";
import { keyCases } from "./keys.ts";
import { logCases } from "./logs.ts";

const drivers: Record<string, OpenBlobStore> = {
  directory: async () => {
    const directory = await mkdtemp(join(tmpdir(), "offpeak-blobs-"));
    const restart = () => openDiskBlobStore({ directory });
    const store = await restart();
    onTestFinished(async () => {
      await store.close();
      await rm(directory, { recursive: true });
    });
    return { store, restart };
  },
  S3: async () => {
    const bucket = await S3Bucket.open();
    const restart = () => bucket.openStore();
    return { store: await restart(), restart };
  },
};

describe.each(Object.keys(drivers))("BlobStore: %s", (driver) => {
  const open = drivers[driver]!;
  describe("keys", () => {
    keyCases(open);
  });
  describe("blobs", () => {
    blobCases(open);
  });
  describe("logs", () => {
    logCases(open);
  });
});
