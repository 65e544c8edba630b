// The BlobStore: bytes under keys. Inputs, plans, journals, answers, outputs. Every driver keeps
// each sentence here; test/suites/blob-store holds them to it.
//
// A key is segments of [A-Za-z0-9._-] joined by "/", no segment "." or "..", at most 512
// characters; anything else throws RangeError before anything is touched.

export interface BlobStore {
  /** Starts a blob. Nobody sees it before commit; an unfinished one is gone after a restart. */
  create(key: string): Promise<BlobWriter>;
  /** Opens a blob or log for reading at offsets. Throws NotFoundError. A blob deleted meanwhile may be read on or fail with NotFoundError. */
  open(key: string): Promise<BlobReader>;
  /** Streams a blob, or its bytes from `start` up to but not including `end`. Throws NotFoundError at the first chunk. */
  read(key: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array>;
  /** Deletes a blob or log. Harmless when there is none. */
  delete(key: string): Promise<void>;
  /** Deletes everything whose key begins with `prefix`, which ends in "/". Harmless when there is nothing. */
  deleteAll(prefix: string): Promise<void>;
  /** Everything whose key begins with `prefix`, which ends in "/", in no set order. */
  list(prefix: string): AsyncIterable<{ key: string; modifiedAt: number }>;
  /**
   * Starts a log, which grows by durable appends. Throws ConflictError when the key exists. Of two in one process who
   * race for a key one gets it; two processes must never use the same key (a journal's carries the epoch of its owner),
   * for a driver need not be able to tell them apart.
   */
  createLog(key: string): Promise<BlobLog>;
  /** Bytes that can still be stored; undefined when there is no known bound. */
  freeBytes(): Promise<number | undefined>;
  close(): Promise<void>;
}

export interface BlobWriter {
  readonly sizeBytes: number;
  /**
   * Takes the next bytes; the caller must not change them until it resolves. One call at a time. That they could
   * not be stored may be told by a later call, at the latest by commit.
   */
  write(chunk: Uint8Array): Promise<void>;
  /** The blob is durable and visible when this resolves; it replaces what was under the key. */
  commit(): Promise<void>;
  /** Leaves no trace. Harmless after commit or when repeated. */
  abort(): Promise<void>;
}

export interface BlobReader {
  readonly sizeBytes: number;
  /**
   * Up to `length` bytes from `start`: fewer only at the end of the blob. The caller owns the result,
   * which is a part of `into` when that is given; it must have room for `length` bytes.
   */
  read(start: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface BlobLog {
  /** Bytes that are durable. */
  readonly sizeBytes: number;
  /**
   * How far apart appends should be while nobody waits for one: a request to an object store costs money and time.
   * 0 on a disk, at most a second.
   */
  readonly appendEveryMs: number;
  /**
   * Appends the parts in order; they are durable when this resolves. One call at a time. After a
   * failure the log takes no more: every later append throws the same error.
   */
  append(parts: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

const KEY = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;

/** Whether it is a valid key (see above). */
export function isKey(key: string): boolean {
  return key.length <= 512 && KEY.test(key) && !/(?:^|\/)\.{1,2}(?:\/|$)/.test(key);
}

/** Throws RangeError unless `key` is a valid key. Every driver calls it first. */
export function checkKey(key: string): void {
  if (!isKey(key))
    throw new RangeError(`Not a valid blob key: ${JSON.stringify(key.slice(0, 100))}`);
}

/** Where each kind of blob is. */
export const blobKeys = {
  files: "files/",
  uploads: "uploads/",
  batches: "batches/",
  file: (fileId: string) => `files/${fileId}`,
  /** All parts of one upload: swept when it is over. */
  upload: (uploadId: string) => `uploads/${uploadId}/`,
  part: (uploadId: string, partId: string) => `uploads/${uploadId}/${partId}`,
  /** Everything of one batch but its files: swept when it has ended. */
  batch: (batchId: string) => `batches/${batchId}/`,
  plan: (batchId: string, epoch: number) => `batches/${batchId}/plan-${epoch}`,
  journal: (batchId: string, shardId: string, epoch: number) =>
    `batches/${batchId}/journals/${shardId}-${epoch}`,
  /** An answer too large for the journal. */
  answer: (batchId: string, shardId: string, epoch: number, lineNumber: number) =>
    `batches/${batchId}/answers/${shardId}-${epoch}-${lineNumber}`,
};
