// A bucket for tests on the S3 server of the run: with a prefix and a cache directory of its own for every
// store that is opened in it, and requests of the test's own to look behind the driver.

import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { inject, onTestFinished } from "vitest";
import type { BlobStore } from "../../src/core/blob-store.ts";
import { openS3BlobStore, type S3BlobStoreOptions } from "../../src/storage/s3/s3-blob-store.ts";
import { makeBucket } from "./s3-server.ts";

const BUCKET = "offpeak-test";

export class S3Bucket {
  readonly name = BUCKET;
  /** Of this test alone. */
  readonly prefix = `test/${randomUUID()}`;
  readonly url: string;
  readonly client: S3Client;

  private constructor(url: string, client: S3Client) {
    this.url = url;
    this.client = client;
  }

  /** Makes the bucket when it is not there. It is closed when the test ends. */
  static async open(): Promise<S3Bucket> {
    const { url, accessKeyId, secretAccessKey } = inject("s3");
    // Where the driver has the SDK look for them.
    process.env["AWS_ACCESS_KEY_ID"] = accessKeyId;
    process.env["AWS_SECRET_ACCESS_KEY"] = secretAccessKey;
    const client = new S3Client({
      endpoint: url,
      region: "us-east-1",
      forcePathStyle: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    onTestFinished(() => client.destroy());
    await makeBucket({ url, accessKeyId, secretAccessKey }, BUCKET);
    return new S3Bucket(url, client);
  }

  /** Opens a store in it, closed when the test ends. */
  async openStore(change: Partial<S3BlobStoreOptions> = {}): Promise<BlobStore> {
    const cacheDirectory = change.cacheDirectory ?? (await mkdtemp(join(tmpdir(), "offpeak-s3c-")));
    onTestFinished(() => rm(cacheDirectory, { recursive: true, force: true }));
    const store = await openS3BlobStore({
      bucket: this.name,
      prefix: this.prefix,
      endpoint: this.url,
      pathStyle: true,
      encryption: "none",
      cacheDirectory,
      cacheBytes: 256 * 1024 * 1024,
      ...change,
    });
    onTestFinished(() => store.close());
    return store;
  }

  /** Names of the objects under this test's prefix, without it. */
  async objects(): Promise<string[]> {
    const { Contents = [] } = await this.client.send(
      new ListObjectsV2Command({ Bucket: this.name, Prefix: `${this.prefix}/` }),
    );
    return Contents.map(({ Key }) => (Key ?? "").slice(this.prefix.length + 1));
  }

  /** Keys of multipart uploads under this test's prefix that have not ended. */
  async unfinished(): Promise<string[]> {
    const { Uploads = [] } = await this.client.send(
      new ListMultipartUploadsCommand({ Bucket: this.name, Prefix: `${this.prefix}/` }),
    );
    return Uploads.map(({ Key }) => (Key ?? "").slice(this.prefix.length + 1));
  }
}
