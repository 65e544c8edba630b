// The BlobStore in a directory: `blobs/` holds one file for each key, `tmp/` what is not committed yet.
// A blob appears by a rename after its bytes are synced. Each process that writes has its own folder for
// what is not committed; the caller holds the data directory's lock, or is a worker of who does.

import type { EventEmitter } from "node:events";
import { open, opendir, rm, stat, statfs, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkKey } from "../../core/blob-store.ts";
import type { BlobLog, BlobReader, BlobStore, BlobWriter } from "../../core/blob-store.ts";
import { ConflictError, NotFoundError } from "../../core/store.ts";
import { DiskBlobLog } from "./disk-blob-log.ts";
import { DiskBlobReader } from "./disk-blob-reader.ts";
import { DiskBlobWriter } from "./disk-blob-writer.ts";
import { DurableFolders, createFolder, syncFolder } from "./durable-folders.ts";
import { isFileError, isMissing } from "./file-error.ts";

const CHUNK_BYTES = 256 * 1024;

/**
 * Opens the store in `directory`, creating it if need be, and clears what a crash left unfinished: all of it,
 * or only that of one worker, given by its number.
 */
export async function openDiskBlobStore({
  directory,
  worker,
}: {
  directory: string;
  worker?: number | undefined;
}): Promise<BlobStore> {
  const blobs = join(directory, "blobs");
  const unfinished = join(directory, "tmp", worker === undefined ? "" : `worker-${worker}`);
  await rm(unfinished, { recursive: true, force: true });
  await createFolder(blobs);
  await createFolder(unfinished);
  return new DiskBlobStore(blobs, unfinished);
}

class DiskBlobStore implements BlobStore {
  readonly #blobs: string;
  readonly #unfinished: string;
  readonly #folders: DurableFolders;
  /** Open files: Node treats one that is lost without being closed as a fatal error. */
  readonly #handles = new Set<FileHandle>();
  #writersStarted = 0;

  constructor(blobs: string, unfinished: string) {
    this.#blobs = blobs;
    this.#unfinished = unfinished;
    this.#folders = new DurableFolders(blobs);
  }

  async create(key: string): Promise<BlobWriter> {
    const path = this.#pathOf(key);
    this.#writersStarted += 1;
    const temporaryPath = join(this.#unfinished, String(this.#writersStarted));
    const handle = await this.#openFile(temporaryPath, "wx");
    return new DiskBlobWriter(handle, temporaryPath, path, this.#folders);
  }

  async open(key: string): Promise<BlobReader> {
    const path = this.#pathOf(key);
    let handle: FileHandle;
    try {
      handle = await this.#openFile(path, "r");
    } catch (error) {
      throw isMissing(error) ? noBlob(key) : error;
    }
    try {
      const file = await handle.stat();
      if (!file.isFile()) throw noBlob(key);
      return new DiskBlobReader(handle, file.size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async *read(key: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array> {
    const reader = await this.open(key);
    const end = Math.min(range?.end ?? reader.sizeBytes, reader.sizeBytes);
    let start = range?.start ?? 0;
    const readNext = () => {
      const next = start < end ? reader.read(start, Math.min(CHUNK_BYTES, end - start)) : null;
      // A failure is told when its turn comes.
      next?.catch(() => undefined);
      return next;
    };
    // One chunk ahead: the disk works while the caller does.
    let ahead = readNext();
    try {
      for (let chunk = await ahead; chunk && chunk.length > 0; chunk = await ahead) {
        start += chunk.length;
        ahead = readNext();
        yield chunk;
      }
    } finally {
      await ahead?.catch(() => undefined);
      await reader.close();
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#pathOf(key);
    try {
      await unlink(path);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    await syncFolder(dirname(path));
  }

  async deleteAll(prefix: string): Promise<void> {
    await this.#folders.removeTree(this.#folderOf(prefix));
  }

  async *list(prefix: string): AsyncIterable<{ key: string; modifiedAt: number }> {
    const folder = this.#folderOf(prefix);
    let entries;
    try {
      entries = await opendir(folder);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for await (const entry of entries) {
      const key = prefix + entry.name;
      if (entry.isDirectory()) {
        yield* this.list(`${key}/`);
        continue;
      }
      try {
        const { mtimeMs } = await stat(join(folder, entry.name));
        yield { key, modifiedAt: Math.trunc(mtimeMs) };
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }

  async createLog(key: string): Promise<BlobLog> {
    const path = this.#pathOf(key);
    try {
      const handle = await this.#folders.createEntry(path, () => this.#openFile(path, "wx"));
      return new DiskBlobLog(handle);
    } catch (error) {
      if (isFileError(error, "EEXIST")) throw new ConflictError(`The key ${key} exists already.`);
      throw error;
    }
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#blobs);
    return bavail * bsize;
  }

  /** Ends what its users left open. */
  async close(): Promise<void> {
    await Promise.all([...this.#handles].map((handle) => handle.close()));
  }

  async #openFile(path: string, flags: "r" | "wx"): Promise<FileHandle> {
    const handle = await open(path, flags);
    this.#handles.add(handle);
    // It is an event emitter, though its types do not say so.
    (handle as FileHandle & EventEmitter).once("close", () => this.#handles.delete(handle));
    return handle;
  }

  #pathOf(key: string): string {
    checkKey(key);
    return join(this.#blobs, key);
  }

  #folderOf(prefix: string): string {
    if (!prefix.endsWith("/")) {
      throw new RangeError(
        `Not a prefix of blob keys: ${JSON.stringify(prefix)}; it must end in "/".`,
      );
    }
    return this.#pathOf(prefix.slice(0, -1));
  }
}

function noBlob(key: string): NotFoundError {
  return new NotFoundError(`There is no blob under the key ${key}.`);
}
