// One blob being written: a single put when it is small, else parts that are put while more is written. What
// fails is told by a later write or by commit, and then nothing is left but what a server keeps of its own.

import { randomUUID } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { BlobWriter } from "../../core/blob-store.ts";
import type { Log } from "../../observability/log.ts";
import { MAX_PARTS, PartMemory, type SpareParts } from "./part-memory.ts";
import type { S3Connection } from "./s3-connection.ts";
import { codeOf, strangeAnswer, toStoreError } from "./s3-error.ts";
import { findBlob } from "./s3-listing.ts";
import { Slots } from "./slots.ts";

/** What the writers of a store share. */
export interface WriterParts {
  connection: S3Connection;
  spares: SpareParts;
  /** For the parts on their way: what bounds the memory of all writers together. */
  slots: Slots;
  log: Pick<Log, "warn"> | undefined;
}

/** Of one blob. */
const PARTS_AT_ONCE = 4;
/** In the metadata of an object: which writer made it. */
const MADE_BY = "offpeak-writer";

export class S3BlobWriter implements BlobWriter {
  readonly #parts: WriterParts;
  readonly #key: string;
  readonly #objectKey: string;
  readonly #id = randomUUID();
  readonly #own = new Slots(PARTS_AT_ONCE);
  #memory: PartMemory;
  #partNumber = 1;
  #sizeBytes = 0;
  /** Of the multipart upload, once there is one. */
  #uploadId: string | undefined;
  readonly #etags: string[] = [];
  readonly #onTheirWay = new Set<Promise<void>>();
  #failure: { error: unknown } | null = null;
  #ended = false;
  readonly #onEnd: (writer: S3BlobWriter) => void;

  constructor(parts: WriterParts, key: string, onEnd: (writer: S3BlobWriter) => void) {
    this.#parts = parts;
    this.#key = key;
    this.#objectKey = parts.connection.objectKey(key);
    this.#memory = new PartMemory(parts.spares, 1);
    this.#onEnd = onEnd;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#orAbort(async () => {
      let at = 0;
      while (at < chunk.length) {
        // Only when more comes, so that a blob of exactly one part is a single put.
        if (this.#memory.isFull) await this.#sendPart();
        at += this.#memory.add(chunk.subarray(at));
      }
      this.#sizeBytes += chunk.length;
    });
  }

  async commit(): Promise<void> {
    await this.#orAbort(async () => {
      if (this.#uploadId === undefined) {
        await this.#putWhole();
        return;
      }
      await this.#sendPart();
      await Promise.all(this.#onTheirWay);
      this.#throwFailure();
      await this.#complete(this.#uploadId);
    });
    this.#end();
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#end();
    // A part that arrives after the abort would be kept, and paid for.
    await Promise.all(this.#onTheirWay);
    const uploadId = this.#uploadId;
    if (uploadId === undefined) return;
    const { connection, log } = this.#parts;
    const about = { Bucket: connection.bucket, Key: this.#objectKey, UploadId: uploadId };
    try {
      await connection.runRaw((client) => client.send(new AbortMultipartUploadCommand(about)));
    } catch (error) {
      // It is invisible, and goes with the stale uploads.
      if (codeOf(error) !== "NoSuchUpload") {
        log?.warn({ err: error, key: this.#key }, "an unfinished upload to S3 was left behind");
      }
    }
  }

  #end(): void {
    this.#ended = true;
    this.#memory.release();
    this.#onEnd(this);
  }

  async #putWhole(): Promise<void> {
    const { connection } = this.#parts;
    const { ETag } = await connection.run(`write ${this.#key}`, (client) =>
      client.send(
        new PutObjectCommand({
          Bucket: connection.bucket,
          Key: this.#objectKey,
          Body: this.#memory.bytes,
          ...connection.encryption,
        }),
      ),
    );
    if (ETag === undefined) throw strangeAnswer(`write ${this.#key}`);
  }

  /** Has what is gathered put while the next part gathers; waits while too much is on its way. */
  async #sendPart(): Promise<void> {
    this.#throwFailure();
    this.#uploadId ??= await this.#begin();
    const uploadId = this.#uploadId;
    const partNumber = this.#partNumber;
    if (partNumber > MAX_PARTS) throw new RangeError(`The blob ${this.#key} is too large for S3.`);
    await this.#own.take();
    await this.#parts.slots.take();
    // Aborted meanwhile: its memory is gone.
    if (this.#ended) {
      this.#releaseSlots();
      throw ended(this.#key);
    }
    const memory = this.#memory;
    this.#partNumber += 1;
    this.#memory = new PartMemory(this.#parts.spares, this.#partNumber);
    const sending = this.#putPart(uploadId, partNumber, memory).finally(() => {
      memory.release();
      this.#releaseSlots();
      this.#onTheirWay.delete(sending);
    });
    this.#onTheirWay.add(sending);
  }

  #releaseSlots(): void {
    this.#own.release();
    this.#parts.slots.release();
  }

  /** Never rejects: a failure is kept for whoever asks next. */
  async #putPart(uploadId: string, partNumber: number, memory: PartMemory): Promise<void> {
    const { connection } = this.#parts;
    try {
      const { ETag } = await connection.run(`write part ${partNumber} of ${this.#key}`, (client) =>
        client.send(
          new UploadPartCommand({
            Bucket: connection.bucket,
            Key: this.#objectKey,
            UploadId: uploadId,
            PartNumber: partNumber,
            Body: memory.bytes,
          }),
        ),
      );
      if (ETag === undefined) throw strangeAnswer(`write part ${partNumber} of ${this.#key}`);
      this.#etags[partNumber - 1] = ETag;
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  async #begin(): Promise<string> {
    const { connection } = this.#parts;
    const { UploadId } = await connection.run(`begin to write ${this.#key}`, (client) =>
      client.send(
        new CreateMultipartUploadCommand({
          Bucket: connection.bucket,
          Key: this.#objectKey,
          Metadata: { [MADE_BY]: this.#id },
          ...connection.encryption,
        }),
      ),
    );
    if (UploadId === undefined) throw new Error("S3 began an upload without saying its id.");
    return UploadId;
  }

  async #complete(uploadId: string): Promise<void> {
    const { connection } = this.#parts;
    const Parts = this.#etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
    const about = { Bucket: connection.bucket, Key: this.#objectKey, UploadId: uploadId };
    try {
      await connection.runRaw((client) =>
        client.send(new CompleteMultipartUploadCommand({ ...about, MultipartUpload: { Parts } })),
      );
    } catch (error) {
      // The answer may have been lost, or be that to a repetition.
      if (!(await this.#isThere())) throw toStoreError(error, `complete ${this.#key}`);
    }
  }

  /** Whether the object is the one that this writer made. */
  async #isThere(): Promise<boolean> {
    const found = await findBlob(this.#parts.connection, this.#key).catch(() => undefined);
    return found?.metadata[MADE_BY] === this.#id && found.sizeBytes === this.#sizeBytes;
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #orAbort(step: () => Promise<void>): Promise<void> {
    if (this.#ended) throw ended(this.#key);
    try {
      await step();
    } catch (error) {
      await this.abort();
      throw error;
    }
  }
}

function ended(key: string): Error {
  return new Error(`The blob for ${key} was committed or aborted before.`);
}
