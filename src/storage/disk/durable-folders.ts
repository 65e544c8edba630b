// Folders below a root that outlive a power cut: a file in a folder is only as durable as the entry
// of the folder in its parent, so each folder is synced into its parent once, before it is used.

import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isFileError } from "./file-error.ts";

/** Folders remembered as synced; forgetting one costs a sync. */
const REMEMBERED = 4_096;
/** How often a folder may be removed just before it is used. */
const ATTEMPTS = 10;

export class DurableFolders {
  readonly #root: string;
  readonly #ready = new Map<string, Promise<void>>();

  /** `root` exists. Paths given to the methods are below it. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Runs `create`, which makes `path` in its folder, and makes the new entry durable. */
  async createEntry<T>(path: string, create: () => Promise<T>): Promise<T> {
    const folder = dirname(path);
    for (let attempt = 1; ; attempt += 1) {
      let created: T;
      try {
        await this.#ensure(folder);
        created = await create();
      } catch (error) {
        // The folder was removed since it was last used.
        if (!isFileError(error, "ENOENT") || attempt === ATTEMPTS) throw error;
        this.#ready.clear();
        continue;
      }
      await syncFolder(folder);
      return created;
    }
  }

  /** Removes a folder with all that is in it. Harmless when there is none. */
  async removeTree(folder: string): Promise<void> {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    await syncFolder(dirname(folder));
  }

  #ensure(folder: string): Promise<void> {
    if (folder === this.#root) return Promise.resolve();
    const known = this.#ready.get(folder);
    if (known !== undefined) return known;
    if (this.#ready.size >= REMEMBERED) this.#ready.clear();
    const ready = this.#make(folder);
    this.#ready.set(folder, ready);
    ready.catch(() => this.#ready.delete(folder));
    return ready;
  }

  async #make(folder: string): Promise<void> {
    const parent = dirname(folder);
    await this.#ensure(parent);
    try {
      await mkdir(folder);
    } catch (error) {
      if (!isFileError(error, "EEXIST")) throw error;
    }
    await syncFolder(parent);
  }
}

/** Creates a folder for this user alone (mode 0700), and those above it, durably. Harmless when it exists. */
export async function createFolder(path: string): Promise<void> {
  // Not by `recursive`: with that, Node.js tries for ever where a parent exists and takes no folders.
  const folder = resolve(path);
  if (await isFolder(folder)) return;
  if (!(await isFolder(dirname(folder)))) await createFolder(dirname(folder));
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    // Somebody else may have been quicker.
    if (!(await isFolder(folder))) throw error;
  }
  await syncFolder(dirname(folder));
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isFileError(error, "ENOENT") || isFileError(error, "ENOTDIR")) return false;
    throw error;
  }
}

/** Makes the entries of a folder durable; harmless when it has been removed. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (!isFileError(error, "ENOENT")) throw error;
  }
}
