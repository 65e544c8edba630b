// Memory in which the parts of blobs gather. It grows with what is written, up to one part, so that a small blob
// takes little; buffers of whole parts are used again by the next.

/** More than the 5 MiB that S3 asks of every part but the last. */
const FIRST_PART_BYTES = 8 * 1024 * 1024;
const SMALLEST_BYTES = 64 * 1024;
/** An upload has at most 10,000 parts, so they grow: to 128 MiB, and a blob to 484 GiB. */
const PARTS_OF_A_SIZE = 2_000;
export const MAX_PARTS = 10_000;
const MAX_SPARE = 4;

/** How large the part with this number is, from 1. */
function partSizeBytes(partNumber: number): number {
  return FIRST_PART_BYTES * 2 ** Math.floor((partNumber - 1) / PARTS_OF_A_SIZE);
}

/** Whole parts that are not in use, shared by all writers of a store. */
export class SpareParts {
  readonly #spare: Buffer[] = [];

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(FIRST_PART_BYTES);
  }

  giveBack(buffer: Buffer): void {
    if (buffer.length === FIRST_PART_BYTES && this.#spare.length < MAX_SPARE) {
      this.#spare.push(buffer);
    }
  }
}

/** One part, while it fills. */
export class PartMemory {
  readonly #spares: SpareParts;
  /** How large the part can be. */
  readonly limitBytes: number;
  #buffer: Buffer;
  #used = 0;

  constructor(spares: SpareParts, partNumber: number) {
    this.#spares = spares;
    this.limitBytes = partSizeBytes(partNumber);
    // After a whole part came another one is likely.
    const isFirst = partNumber === 1;
    this.#buffer = isFirst ? Buffer.allocUnsafeSlow(SMALLEST_BYTES) : this.#room(FIRST_PART_BYTES);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  get isFull(): boolean {
    return this.#used === this.limitBytes;
  }

  /** Copies as much of the chunk as there is room for; answers how much that was. */
  add(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, this.limitBytes - this.#used);
    this.#grow(this.#used + taken);
    this.#buffer.set(chunk.subarray(0, taken), this.#used);
    this.#used += taken;
    return taken;
  }

  #grow(neededBytes: number): void {
    if (neededBytes <= this.#buffer.length) return;
    let sizeBytes = this.#buffer.length;
    while (sizeBytes < neededBytes) sizeBytes *= 2;
    const larger = this.#room(sizeBytes);
    larger.set(this.bytes);
    this.release();
    this.#buffer = larger;
  }

  #room(sizeBytes: number): Buffer {
    return sizeBytes === FIRST_PART_BYTES ? this.#spares.take() : Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** The bytes are not needed any more, and may change. */
  release(): void {
    this.#spares.giveBack(this.#buffer);
    this.#buffer = Buffer.alloc(0);
  }
}
