// Reads an open blob or log at offsets. It holds on to the content that it found: when that is deleted or
// replaced, what is not on the local disk is NotFoundError, and never a mixture.

import type { BlobReader } from "../../core/blob-store.ts";
import type { BlockReads } from "./block-reads.ts";
import { BLOCK_BYTES, type Block, type ObjectBlocks } from "./object-blocks.ts";

/** A read that begins so close behind the one before it goes on with it. */
const NEAR_BYTES = 64 * 1024;
const MAX_BLOCKS_AHEAD = 4;

/** What of that which is read is kept on the local disk: "in-order" is all but what is read here and there. */
export type Keeps = "all" | "in-order" | "none";

export class S3BlobReader implements BlobReader {
  readonly sizeBytes: number;
  readonly #key: string;
  readonly #blocks: ObjectBlocks;
  readonly #reads: BlockReads;
  readonly #keeps: Keeps;
  #lastEnd = -1;
  /** Where the block begins that a read in order has come to. */
  #reached = -1;
  #blocksAhead = 0;
  #isClosed = false;

  constructor(options: { key: string; blocks: ObjectBlocks; reads: BlockReads; keeps: Keeps }) {
    this.#key = options.key;
    this.#blocks = options.blocks;
    this.#reads = options.reads;
    this.#keeps = options.keeps;
    this.sizeBytes = options.blocks.sizeBytes;
  }

  async read(start: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (this.#isClosed) throw new Error(`The reader of ${this.#key} is closed.`);
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - start));
    const memory = into ?? new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
    const bytes = memory.subarray(0, wanted);
    if (wanted === 0) return bytes;
    const isInOrder = start >= this.#lastEnd && start - this.#lastEnd <= NEAR_BYTES;
    const goesOn = isInOrder && this.#lastEnd >= 0;
    this.#lastEnd = start + wanted;
    const isKept =
      this.#keeps === "all" ||
      (this.#keeps === "in-order" && (goesOn || wanted >= BLOCK_BYTES / 2));
    const reading: Promise<void>[] = [];
    let last: Block | undefined;
    for (let at = start; at < start + wanted;) {
      const block = this.#blocks.at(at) as Block;
      const end = Math.min(block.start + block.length, start + wanted);
      const part = bytes.subarray(at - start, end - start);
      reading.push(this.#reads.read(block, at - block.start, part, isKept));
      at = end;
      last = block;
    }
    if (goesOn && isKept) this.#readAhead(last as Block);
    else this.#blocksAhead = 0;
    // All of them: after a failure nothing may write into the caller's memory.
    const outcomes = await Promise.allSettled(reading);
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure) throw failure.reason;
    return bytes;
  }

  /** Has the blocks behind this one fetched: more of them, the longer the reading goes on in order. */
  #readAhead(block: Block): void {
    if (block.start === this.#reached) return;
    this.#reached = block.start;
    this.#blocksAhead = Math.min(Math.max(1, this.#blocksAhead * 2), MAX_BLOCKS_AHEAD);
    let next = this.#blocks.at(block.start + block.length);
    for (let ahead = 0; next && ahead < this.#blocksAhead; ahead += 1) {
      this.#reads.readAhead(next);
      next = this.#blocks.at(next.start + next.length);
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }
}
