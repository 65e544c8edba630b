// A log on disk: what was appended is synced before append resolves. After a failed write or sync nobody
// knows what the disk holds, so the log takes nothing more.

import type { FileHandle } from "node:fs/promises";
import type { BlobLog } from "../../core/blob-store.ts";
import { writeAll } from "./write-all.ts";

export class DiskBlobLog implements BlobLog {
  readonly appendEveryMs = 0;
  readonly #handle: FileHandle;
  #sizeBytes = 0;
  #failure: { error: unknown } | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async append(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      await writeAll(this.#handle, parts);
      await this.#handle.datasync();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    for (const part of parts) this.#sizeBytes += part.length;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
