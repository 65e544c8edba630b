// Blocks on the local disk, a file each, the least recently used given up first. It is empty at the start and
// never holds more than its bound; whatever fails here only means that the block is fetched again.

import { mkdir, open, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../observability/log.ts";

interface KeptBlock {
  path: string;
  length: number;
  /** False while it is written. */
  isReady: boolean;
}

/** After a write that failed, for a full disk for one, nothing is kept for so long. */
const PAUSE_MS = 10_000;

export class BlockCache {
  readonly maxBytes: number;
  readonly #directory: string;
  readonly #log: Pick<Log, "warn"> | undefined;
  /** In the order of their last use. */
  readonly #kept = new Map<string, KeptBlock>();
  #sizeBytes = 0;
  #files = 0;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  private constructor(directory: string, maxBytes: number, log: Pick<Log, "warn"> | undefined) {
    this.#directory = directory;
    this.maxBytes = maxBytes;
    this.#log = log;
  }

  /** Empties the directory, which is made if need be and belongs to this cache alone. */
  static async open(options: {
    directory: string;
    maxBytes: number;
    log: Pick<Log, "warn"> | undefined;
  }): Promise<BlockCache> {
    const { directory, maxBytes, log } = options;
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return new BlockCache(directory, maxBytes, log);
  }

  /** Whether a block of this size would be kept. */
  accepts(length: number): boolean {
    return length <= this.maxBytes && performance.now() >= this.#pausedUntilMs;
  }

  has(id: string): boolean {
    return this.#kept.get(id)?.isReady === true;
  }

  /** Fills `into` with the block's bytes from `offset`; false when they are not here. */
  async read(id: string, offset: number, into: Uint8Array): Promise<boolean> {
    const block = this.#kept.get(id);
    if (!block?.isReady) return false;
    this.#kept.delete(id);
    this.#kept.set(id, block);
    try {
      const file = await open(block.path, "r");
      try {
        const { bytesRead } = await file.read(into, 0, into.length, offset);
        if (bytesRead === into.length) return true;
      } finally {
        await file.close();
      }
    } catch {
      // Given up, or removed by something else, since it was looked up.
    }
    this.#forget(id, block);
    return false;
  }

  /** Keeps a block, giving up others. Never throws. */
  async keep(id: string, bytes: Uint8Array): Promise<void> {
    if (this.#kept.has(id) || !this.accepts(bytes.length)) return;
    this.#files += 1;
    const path = join(this.#directory, String(this.#files));
    const block: KeptBlock = { path, length: bytes.length, isReady: false };
    this.#kept.set(id, block);
    this.#sizeBytes += block.length;
    try {
      await this.#makeRoom();
      // What is being written can't be given up.
      if (this.#sizeBytes > this.maxBytes) {
        this.#forget(id, block);
        return;
      }
      await writeFile(path, bytes, { mode: 0o600 });
      block.isReady = true;
    } catch (error) {
      this.#pausedUntilMs = performance.now() + PAUSE_MS;
      this.#log?.warn({ err: error }, "blocks of S3 objects can't be kept on the disk for now");
      this.#forget(id, block);
      await unlink(path).catch(() => undefined);
    }
  }

  async #makeRoom(): Promise<void> {
    const givenUp: string[] = [];
    for (const [id, block] of this.#kept) {
      if (this.#sizeBytes <= this.maxBytes) break;
      if (!block.isReady) continue;
      this.#forget(id, block);
      givenUp.push(block.path);
    }
    await Promise.all(givenUp.map((path) => unlink(path).catch(() => undefined)));
  }

  #forget(id: string, block: KeptBlock): void {
    if (this.#kept.get(id) !== block) return;
    this.#kept.delete(id);
    this.#sizeBytes -= block.length;
  }
}
