// A blob as a stream for an HTTP answer: read in pieces as fast as they are taken, closed however
// the stream ends.
import { Readable } from "node:stream";
import type { BlobReader } from "../core/blob-store.ts";

const PIECE_BYTES = 256 * 1024;

export class BlobStream extends Readable {
  readonly #reader: BlobReader;
  #position = 0;

  /** Owns the reader from now on. */
  constructor(reader: BlobReader) {
    super({ highWaterMark: PIECE_BYTES });
    this.#reader = reader;
  }

  override _read(): void {
    this.#reader.read(this.#position, PIECE_BYTES).then(
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
