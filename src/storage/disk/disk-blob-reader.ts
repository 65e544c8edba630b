// Reads an open blob at offsets. The file stays readable when its key is deleted or replaced.

import type { FileHandle } from "node:fs/promises";
import type { BlobReader } from "../../core/blob-store.ts";

export class DiskBlobReader implements BlobReader {
  readonly sizeBytes: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  async read(start: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - start));
    // Neither filled with zeros first, nor a Buffer, whose slice() would share its bytes.
    const bytes = into ?? new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#handle.read(bytes, filled, wanted - filled, start + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
