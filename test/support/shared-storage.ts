// A store on PostgreSQL and a blob store on S3 for one test or file of tests: in a schema and under a prefix of
// their own, on the servers that were started for the run.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import type { BlobStore } from "../../src/core/blob-store.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Store } from "../../src/core/store.ts";
import { openS3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { openPostgresStore } from "../../src/storage/sql/postgres.ts";
import { createPlace } from "./postgres-database.ts";
import { makeBucket } from "./s3-server.ts";

const BUCKET = "offpeak-test";

export interface OpenStorage {
  store: Store;
  blobs: BlobStore;
  /** Removes what was stored, too. */
  close(): Promise<void>;
}

export async function openSharedStorage(leaseClock: Clock): Promise<OpenStorage> {
  const { url, drop } = await createPlace();
  const store = await openPostgresStore({ url, connections: 4, leaseClock });
  const { bucket, prefix, endpoint } = await testBucket();
  const cacheDirectory = await mkdtemp(join(tmpdir(), "offpeak-cache-"));
  const blobs = await openS3BlobStore({
    bucket,
    prefix,
    endpoint,
    pathStyle: true,
    encryption: "none",
    cacheDirectory,
    cacheBytes: 64 * 1024 * 1024,
  });
  return {
    store,
    blobs,
    close: async () => {
      await blobs.close();
      await store.close();
      await drop();
      await rm(cacheDirectory, { recursive: true });
    },
  };
}

/** A new prefix in the bucket of the tests. Has the AWS SDK find the keys, in this process and those that it starts. */
export async function testBucket(): Promise<{ bucket: string; prefix: string; endpoint: string }> {
  const access = inject("s3");
  process.env["AWS_ACCESS_KEY_ID"] = access.accessKeyId;
  process.env["AWS_SECRET_ACCESS_KEY"] = access.secretAccessKey;
  await makeBucket(access, BUCKET);
  return { bucket: BUCKET, prefix: `test/${randomUUID()}`, endpoint: access.url };
}
