// A log as objects, one for each append, numbered without gaps: the next is put only after the one before it
// is durable. A put that is repeated carries the same bytes under the same name, which is harmless.

import { PutObjectCommand } from "@aws-sdk/client-s3";
import type { BlobLog } from "../../core/blob-store.ts";
import type { S3Connection } from "./s3-connection.ts";
import { strangeAnswer } from "./s3-error.ts";
import { segmentKey } from "./s3-listing.ts";

/** Two puts a second cost about four cents an hour at AWS, for each shard whose results come without a pause. */
const APPEND_EVERY_MS = 500;

export class S3BlobLog implements BlobLog {
  readonly appendEveryMs = APPEND_EVERY_MS;
  readonly #connection: S3Connection;
  readonly #key: string;
  #nextSegment = 0;
  #sizeBytes = 0;
  #failure: { error: unknown } | undefined;

  private constructor(connection: S3Connection, key: string) {
    this.#connection = connection;
    this.#key = key;
  }

  /** Makes the log, which is there when this resolves. The caller has seen that nothing has its key. */
  static async create(connection: S3Connection, key: string): Promise<S3BlobLog> {
    const log = new S3BlobLog(connection, key);
    await log.#put(new Uint8Array(0));
    return log;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async append(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    if (bytes.length === 0) return;
    try {
      await this.#put(bytes);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    this.#sizeBytes += bytes.length;
  }

  async #put(bytes: Uint8Array): Promise<void> {
    const { bucket, encryption } = this.#connection;
    const objectKey = segmentKey(this.#connection, this.#key, this.#nextSegment);
    const { ETag } = await this.#connection.run(`append to ${this.#key}`, (client) =>
      client.send(
        new PutObjectCommand({ Bucket: bucket, Key: objectKey, Body: bytes, ...encryption }),
      ),
    );
    if (ETag === undefined) throw strangeAnswer(`append to ${this.#key}`);
    this.#nextSegment += 1;
  }

  close(): Promise<void> {
    this.#failure ??= { error: new Error(`The log ${this.#key} is closed.`) };
    return Promise.resolve();
  }
}
