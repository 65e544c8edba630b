// A blob, or a range of it, as a stream to be piped into an HTTP answer: read in pieces as fast as they
// are taken, closed however the stream ends.

import { Readable } from "node:stream";
import type { BlobReader } from "../core/blob-store.ts";

const PIECE_BYTES = 512 * 1024;
/** Two would do: when a piece is asked for, all but the last one have left the pipe. */
const BUFFERS = 3;

/** Positions in a blob: from `start` up to but not including `end`. */
export interface ByteSpan {
  start: number;
  end: number;
}

/**
 * A piece is overwritten after the next one has been taken and flushed: whoever keeps pieces copies them.
 * New memory for each would be collected again and again, in a third of the time of a large download.
 */
export class BlobStream extends Readable {
  readonly #reader: BlobReader;
  readonly #end: number;
  #position: number;
  readonly #buffers: Uint8Array[] = [];

  /** Owns the reader from now on. */
  constructor(reader: BlobReader, { start, end }: ByteSpan) {
    super({ highWaterMark: PIECE_BYTES });
    this.#reader = reader;
    this.#position = start;
    this.#end = end;
  }

  override _read(): void {
    const length = Math.min(PIECE_BYTES, this.#end - this.#position);
    if (length === 0) {
      this.push(null);
      return;
    }
    const buffer =
      this.#buffers.length < BUFFERS ? Buffer.allocUnsafeSlow(length) : this.#buffers.shift()!;
    this.#buffers.push(buffer);
    this.#reader.read(this.#position, length, buffer).then(
      (piece) => {
        this.#position += piece.length;
        this.push(piece.length === 0 ? null : piece);
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#reader.close().then(() => done(error), done);
  }
}
