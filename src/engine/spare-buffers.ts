// Buffers of one size that are used again and again. Memory outside of the heap that is thrown away brings on
// full collections: a shard needs about 2 MB of it, and a fast backend is through with a shard in 20 ms.

export class SpareBuffers {
  readonly sizeBytes: number;
  readonly #limit: number;
  readonly #spare: Buffer[] = [];

  /** @param limit how many are kept at most */
  constructor(sizeBytes: number, limit: number) {
    this.sizeBytes = sizeBytes;
    this.#limit = limit;
  }

  /** A buffer with anything in it. */
  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.sizeBytes);
  }

  /** The buffer may be handed out again. One of another size is left to the collector. */
  giveBack(buffer: Buffer): void {
    const isKept = buffer.length === this.sizeBytes && this.#spare.length < this.#limit;
    if (isKept) this.#spare.push(buffer);
  }
}
