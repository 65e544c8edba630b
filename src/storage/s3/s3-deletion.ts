// Deletes objects: many with one request where the server knows how, else one by one.

import { DeleteObjectCommand, DeleteObjectsCommand } from "@aws-sdk/client-s3";
import type { S3Connection } from "./s3-connection.ts";
import { isNotImplemented, statusOf, toStoreError } from "./s3-error.ts";
import { listObjects } from "./s3-listing.ts";
import { forEachAtOnce } from "./slots.ts";

/** The most that one request takes. */
const AT_ONCE = 1_000;
const SINGLE_AT_ONCE = 8;

export class S3Deletion {
  readonly #connection: S3Connection;
  #knowsMany = true;

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  /** Harmless when there is none. */
  async one(objectKey: string): Promise<void> {
    const { bucket } = this.#connection;
    await this.#connection.run(`delete ${objectKey}`, (client) =>
      client.send(new DeleteObjectCommand({ Bucket: bucket, Key: objectKey })),
    );
  }

  /** Deletes every object whose name begins with `prefix`. */
  async all(prefix: string): Promise<void> {
    for await (const page of listObjects(this.#connection, prefix, AT_ONCE)) {
      const keys = page.map(({ objectKey }) => objectKey);
      if (keys.length === 1) await this.one(keys[0] as string);
      else if (keys.length > 1) await this.#many(keys);
    }
  }

  async #many(objectKeys: readonly string[]): Promise<void> {
    const left = this.#knowsMany ? await this.#tryMany(objectKeys) : objectKeys;
    await forEachAtOnce(SINGLE_AT_ONCE, left, (objectKey) => this.one(objectKey));
  }

  /** Answers what was not deleted, and is to be tried one by one: that tells what is wrong with it. */
  async #tryMany(objectKeys: readonly string[]): Promise<readonly string[]> {
    const { bucket } = this.#connection;
    try {
      const { Deleted = [] } = await this.#connection.runRaw((client) =>
        client.send(
          new DeleteObjectsCommand({
            Bucket: bucket,
            Delete: { Objects: objectKeys.map((Key) => ({ Key })) },
          }),
        ),
      );
      const deleted = new Set(Deleted.map(({ Key }) => Key));
      return objectKeys.filter((key) => !deleted.has(key));
    } catch (error) {
      // Older servers ask for another checksum of the list than the SDK sends.
      if (!isNotImplemented(error) && statusOf(error) !== 400) {
        throw toStoreError(error, `delete ${objectKeys.length} objects`);
      }
      this.#knowsMany = false;
      return objectKeys;
    }
  }
}
