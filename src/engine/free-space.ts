// Stops the sending before the disk is full, and lets it go on when there is room again.

import type { BlobStore } from "../core/blob-store.ts";

export class FreeSpace {
  readonly #blobs: BlobStore;
  readonly #floorBytes: number;
  #freeBytes: number | undefined;

  constructor(blobs: BlobStore, floorBytes: number) {
    this.#blobs = blobs;
    this.#floorBytes = floorBytes;
  }

  /** Looks again. */
  async check(): Promise<void> {
    this.#freeBytes = await this.#blobs.freeBytes();
  }

  /** Why nothing may be sent; null when there is room. */
  get reason(): string | null {
    if (this.#freeBytes === undefined || this.#freeBytes >= this.#floorBytes) return null;
    const [free, floor] = [this.#freeBytes, this.#floorBytes].map((bytes) =>
      Math.floor(bytes / 1e6),
    );
    return `waiting for disk space: ${free} MB free, ${floor} MB are kept clear`;
  }
}
