// The BlobStore in a bucket of S3, or of any server that speaks its protocol. Nothing here rests on conditional
// requests, which several servers ignore: who may write a key is settled by epochs in the Store. What is read is
// kept for a while in a bounded folder of the local disk.

import { setInterval } from "node:timers";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { checkKey, isKey } from "../../core/blob-store.ts";
import type { BlobLog, BlobReader, BlobStore, BlobWriter } from "../../core/blob-store.ts";
import { ConflictError } from "../../core/store.ts";
import type { Log } from "../../observability/log.ts";
import { BlockCache } from "./block-cache.ts";
import { BlockReads } from "./block-reads.ts";
import { blobBlocks, logBlocks, type ObjectBlocks } from "./object-blocks.ts";
import { SpareParts } from "./part-memory.ts";
import { S3BlobLog } from "./s3-blob-log.ts";
import { S3BlobReader } from "./s3-blob-reader.ts";
import { S3BlobWriter } from "./s3-blob-writer.ts";
import { S3Connection, type S3ConnectionOptions } from "./s3-connection.ts";
import { S3Deletion } from "./s3-deletion.ts";
import { openingError } from "./s3-error.ts";
import { exists, findBlob, findSegments, listKeys, noBlob } from "./s3-listing.ts";
import { Slots } from "./slots.ts";
import { endStaleUploads } from "./stale-uploads.ts";

export interface S3BlobStoreOptions extends S3ConnectionOptions {
  /** Of this store alone; it is emptied. */
  cacheDirectory: string;
  cacheBytes: number;
  log?: Pick<Log, "info" | "warn">;
  /** Unfinished uploads that are older were left by a dead process. */
  staleUploadMs?: number;
}

const STALE_UPLOAD_MS = 24 * 3_600_000;
const LOOK_FOR_STALE_MS = 3_600_000;
/** A key has 512, a segment's number 11, and S3 takes 1,024. */
const MAX_PREFIX_BYTES = 400;
/** Parts on their way, of all writers: 96 MiB. */
const PARTS_AT_ONCE = 12;
const OPENING_LIMIT_MS = 20_000;
const CHUNK_BYTES = 256 * 1024;
/** Of a blob that is read past the local disk. */
const LARGE_CHUNK_BYTES = 1024 * 1024;
const LARGE_CHUNKS_AHEAD = 4;

/**
 * Opens the store. Credentials come from where the AWS SDK looks for them. Throws an Error that says what to do when
 * the bucket can't be used.
 */
export async function openS3BlobStore(options: S3BlobStoreOptions): Promise<BlobStore> {
  const { cacheDirectory, cacheBytes, log } = options;
  const connection = new S3Connection({ ...options, prefix: checkedPrefix(options.prefix) });
  try {
    await checkBucket(connection, options);
    const cache = await BlockCache.open({ directory: cacheDirectory, maxBytes: cacheBytes, log });
    const store = new S3BlobStore(connection, cache, options);
    await store.endStaleUploads();
    return store;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function checkedPrefix(given: string): string {
  const prefix = given.replace(/\/$/, "");
  if (prefix === "" || (isKey(prefix) && prefix.length <= MAX_PREFIX_BYTES)) return prefix;
  throw new RangeError(
    `Not a prefix for S3: ${JSON.stringify(given.slice(0, 100))}. Use segments of A-Z, a-z, 0-9, ".", "_" and "-" ` +
      `with "/" between them, at most ${MAX_PREFIX_BYTES} characters.`,
  );
}

async function checkBucket(
  connection: S3Connection,
  { bucket, endpoint }: S3BlobStoreOptions,
): Promise<void> {
  const abortSignal = AbortSignal.timeout(OPENING_LIMIT_MS);
  try {
    // Unlike HEAD it says why not.
    const list = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: connection.objectKey(""),
      MaxKeys: 1,
    });
    await connection.runRaw((client) => client.send(list, { abortSignal }));
  } catch (error) {
    const why: unknown = abortSignal.aborted ? abortSignal.reason : error;
    throw openingError(why, { bucket, endpoint, region: await connection.region() });
  }
}

class S3BlobStore implements BlobStore {
  readonly #connection: S3Connection;
  readonly #cache: BlockCache;
  readonly #reads: BlockReads;
  readonly #deletion: S3Deletion;
  readonly #log: Pick<Log, "info" | "warn"> | undefined;
  readonly #staleUploadMs: number;
  readonly #staleTimer: NodeJS.Timeout;
  readonly #spares = new SpareParts();
  readonly #partSlots = new Slots(PARTS_AT_ONCE);
  readonly #writers = new Set<S3BlobWriter>();
  /** Keys of logs that are being made by this process. */
  readonly #creating = new Set<string>();

  constructor(connection: S3Connection, cache: BlockCache, options: S3BlobStoreOptions) {
    this.#connection = connection;
    this.#cache = cache;
    this.#reads = new BlockReads(connection, cache);
    this.#deletion = new S3Deletion(connection);
    this.#log = options.log;
    this.#staleUploadMs = options.staleUploadMs ?? STALE_UPLOAD_MS;
    this.#staleTimer = setInterval(() => void this.endStaleUploads(), LOOK_FOR_STALE_MS).unref();
  }

  /** Never throws: some servers don't list uploads, and nothing but room depends on it. */
  async endStaleUploads(): Promise<void> {
    try {
      const beganBefore = Date.now() - this.#staleUploadMs;
      const count = await endStaleUploads(this.#connection, beganBefore);
      if (count > 0) this.#log?.info({ count }, "unfinished uploads to S3 were ended");
    } catch (error) {
      this.#log?.warn({ err: error }, "unfinished uploads to S3 can't be ended");
    }
  }

  async create(key: string): Promise<BlobWriter> {
    checkKey(key);
    const writer = new S3BlobWriter(
      {
        connection: this.#connection,
        spares: this.#spares,
        slots: this.#partSlots,
        log: this.#log,
      },
      key,
      () => this.#writers.delete(writer),
    );
    this.#writers.add(writer);
    return writer;
  }

  async open(key: string): Promise<BlobReader> {
    const blocks = await this.#blocksOf(key);
    const keeps = this.#isLarge(blocks.sizeBytes) ? "in-order" : "all";
    return new S3BlobReader({ key, blocks, reads: this.#reads, keeps });
  }

  async #blocksOf(key: string): Promise<ObjectBlocks> {
    checkKey(key);
    const blob = await findBlob(this.#connection, key);
    const segments = blob ? [] : await findSegments(this.#connection, key);
    if (!blob && segments.length === 0) throw noBlob(key);
    return blob ? blobBlocks(blob) : logBlocks(segments);
  }

  /** It would drive too much else from the local disk. */
  #isLarge(sizeBytes: number): boolean {
    return sizeBytes > this.#cache.maxBytes / 2;
  }

  async *read(key: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array> {
    const blocks = await this.#blocksOf(key);
    const isLarge = this.#isLarge(blocks.sizeBytes);
    const keeps = isLarge ? "none" : "all";
    const reader = new S3BlobReader({ key, blocks, reads: this.#reads, keeps });
    const chunkBytes = isLarge ? LARGE_CHUNK_BYTES : CHUNK_BYTES;
    const end = Math.min(range?.end ?? reader.sizeBytes, reader.sizeBytes);
    let start = range?.start ?? 0;
    const ahead: Promise<Uint8Array>[] = [];
    const readNext = () => {
      while (start < end && ahead.length < (isLarge ? LARGE_CHUNKS_AHEAD : 1)) {
        const chunk = reader.read(start, Math.min(chunkBytes, end - start));
        // A failure is told when its turn comes.
        chunk.catch(() => undefined);
        ahead.push(chunk);
        start += chunkBytes;
      }
    };
    readNext();
    try {
      for (let next = ahead.shift(); next; next = ahead.shift()) {
        const chunk = await next;
        readNext();
        yield chunk;
      }
    } finally {
      await Promise.allSettled(ahead);
      await reader.close();
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const objectKey = this.#connection.objectKey(key);
    await Promise.all([this.#deletion.one(objectKey), this.#deletion.all(`${objectKey}!`)]);
  }

  async deleteAll(prefix: string): Promise<void> {
    checkPrefix(prefix);
    await this.#deletion.all(this.#connection.objectKey(prefix));
  }

  async *list(prefix: string): AsyncIterable<{ key: string; modifiedAt: number }> {
    checkPrefix(prefix);
    yield* listKeys(this.#connection, prefix);
  }

  async createLog(key: string): Promise<BlobLog> {
    checkKey(key);
    if (this.#creating.has(key)) throw taken(key);
    this.#creating.add(key);
    try {
      if (await exists(this.#connection, key)) throw taken(key);
      return await S3BlobLog.create(this.#connection, key);
    } finally {
      this.#creating.delete(key);
    }
  }

  /** A bucket has no bound. */
  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Ends what its users left open. */
  async close(): Promise<void> {
    clearInterval(this.#staleTimer);
    await Promise.all([...this.#writers].map((writer) => writer.abort()));
    this.#connection.close();
  }
}

function checkPrefix(prefix: string): void {
  if (!prefix.endsWith("/")) {
    throw new RangeError(
      `Not a prefix of blob keys: ${JSON.stringify(prefix)}; it must end in "/".`,
    );
  }
  checkKey(prefix.slice(0, -1));
}

function taken(key: string): ConflictError {
  return new ConflictError(`The key ${key} exists already.`);
}
