// One blob being written: into a temporary file, in large pieces, renamed to its key at commit. What fails, a
// full disk for one, is told by the next write or by commit, and then the temporary file is gone.

import { rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { BlobWriter } from "../../core/blob-store.ts";
import type { DurableFolders } from "./durable-folders.ts";
import { toStoreError } from "./file-error.ts";
import { writeAll } from "./write-all.ts";

/** Smaller chunks are gathered up to this: a call to the system takes the event loop 0.1 ms, whatever it writes. */
const GATHERED_BYTES = 512 * 1024;
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
  /** What was gathered before, while it is written, and the memory it is in. */
  #writing: Promise<void> | null = null;
  #written: Buffer | undefined;
  #sizeBytes = 0;
  /** Written and not given to the disk yet. */
  #unsyncedBytes = 0;
  #syncing: Promise<void> | null = null;
  /** Of what goes on in the background: the system tells it once, so it is kept for whoever asks next. */
  #failure: { error: unknown } | null = null;
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
        await this.#untilWritten();
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
      await this.#untilWritten();
      await this.#syncing;
      this.#throwFailure();
      await this.#handle.datasync();
      await this.#folders.createEntry(this.#path, () => rename(this.#temporaryPath, this.#path));
    });
    this.#ended = true;
    this.#forgetMemory();
    await this.#handle.close();
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#writing;
      this.#forgetMemory();
      await this.#handle.close();
    } finally {
      await rm(this.#temporaryPath, { force: true });
    }
  }

  /** Has what is gathered written once what came before is; the next chunks are taken meanwhile. */
  async #flush(): Promise<void> {
    await this.#untilWritten();
    const full = this.#gathered;
    if (full === undefined || this.#gatheredBytes === 0) return;
    this.#gathered = this.#written;
    this.#written = full;
    this.#writing = this.#append(full.subarray(0, this.#gatheredBytes)).catch(this.#keepFailure);
    this.#gatheredBytes = 0;
  }

  async #untilWritten(): Promise<void> {
    await this.#writing;
    this.#throwFailure();
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#handle, [bytes]);
    this.#unsyncedBytes += bytes.length;
    if (this.#syncing === null && this.#unsyncedBytes >= SYNCED_AT_ONCE_BYTES) this.#syncAhead();
  }

  #syncAhead(): void {
    this.#unsyncedBytes = 0;
    this.#syncing = this.#handle
      .datasync()
      .catch(this.#keepFailure)
      .finally(() => (this.#syncing = null));
  }

  readonly #keepFailure = (error: unknown): void => {
    this.#failure ??= { error };
  };

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  #forgetMemory(): void {
    this.#gathered = undefined;
    this.#written = undefined;
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
