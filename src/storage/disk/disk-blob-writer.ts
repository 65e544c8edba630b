// One blob being written: into a temporary file, in large pieces, renamed to its key at commit. When
// anything fails, a full disk for one, the temporary file is removed at once.

import { rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { BlobWriter } from "../../core/blob-store.ts";
import type { DurableFolders } from "./durable-folders.ts";
import { toStoreError } from "./file-error.ts";
import { writeAll } from "./write-all.ts";

/** Smaller chunks are gathered up to this, so that there is not a call to the system for each. */
const GATHERED_BYTES = 256 * 1024;
/**
 * The disk begins with what is written when it is so much, while more is coming: a third less time
 * for a large blob.
 */
const SYNCED_AT_ONCE_BYTES = 16 * 1024 * 1024;

export class DiskBlobWriter implements BlobWriter {
  readonly #handle: FileHandle;
  readonly #temporaryPath: string;
  readonly #path: string;
  readonly #folders: DurableFolders;
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
  #sizeBytes = 0;
  /** Written and not given to the disk yet. */
  #unsyncedBytes = 0;
  #syncing: Promise<void> | null = null;
  #syncFailure: { error: unknown } | null = null;
  #ended = false;

  constructor(handle: FileHandle, temporaryPath: string, path: string, folders: DurableFolders) {
    this.#handle = handle;
    this.#temporaryPath = temporaryPath;
    this.#path = path;
    this.#folders = folders;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#orAbort(async () => {
      if (this.#gatheredBytes + chunk.length > GATHERED_BYTES) await this.#flush();
      if (chunk.length >= GATHERED_BYTES) {
        await this.#append(chunk);
      } else {
        this.#gathered ??= Buffer.allocUnsafeSlow(GATHERED_BYTES);
        this.#gathered.set(chunk, this.#gatheredBytes);
        this.#gatheredBytes += chunk.length;
      }
      this.#sizeBytes += chunk.length;
    });
  }

  async commit(): Promise<void> {
    await this.#orAbort(async () => {
      await this.#flush();
      await this.#syncing;
      this.#throwSyncFailure();
      await this.#handle.datasync();
      await this.#folders.createEntry(this.#path, () => rename(this.#temporaryPath, this.#path));
    });
    this.#ended = true;
    this.#gathered = undefined;
    await this.#handle.close();
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#gathered = undefined;
    try {
      await this.#handle.close();
    } finally {
      await rm(this.#temporaryPath, { force: true });
    }
  }

  async #flush(): Promise<void> {
    if (this.#gathered === undefined || this.#gatheredBytes === 0) return;
    await this.#append(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#gatheredBytes = 0;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    this.#throwSyncFailure();
    await writeAll(this.#handle, [bytes]);
    this.#unsyncedBytes += bytes.length;
    if (this.#syncing === null && this.#unsyncedBytes >= SYNCED_AT_ONCE_BYTES) this.#syncAhead();
  }

  #syncAhead(): void {
    this.#unsyncedBytes = 0;
    this.#syncing = this.#handle
      .datasync()
      // The system tells a failure once: it is kept for whoever asks next.
      .catch((error: unknown) => void (this.#syncFailure = { error }))
      .finally(() => (this.#syncing = null));
  }

  #throwSyncFailure(): void {
    if (this.#syncFailure !== null) throw this.#syncFailure.error;
  }

  async #orAbort(step: () => Promise<void>): Promise<void> {
    if (this.#ended) throw new Error(`The blob for ${this.#path} was committed or aborted before.`);
    try {
      await step();
    } catch (error) {
      // What failed first is what the caller must know.
      await this.abort().catch(() => undefined);
      throw toStoreError(error);
    }
  }
}
