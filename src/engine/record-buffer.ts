// The records that wait for the next flush of a journal, encoded where they will be written from:
// nothing is allocated for a record and nothing copied twice.

import { lengthOfParts, type LineParts } from "../core/line-parts.ts";
import {
  encodeRecord,
  RECORD_HEADER_BYTES,
  type RecordAbout,
  type RecordTarget,
} from "./journal-record.ts";
import { SpareBuffers } from "./spare-buffers.ts";

interface Block extends RecordTarget {
  used: number;
}

const BLOCK_BYTES = 128 * 1024;
/** Shared by all journals of the process. */
const blockBuffers = new SpareBuffers(BLOCK_BYTES, 32);

export class RecordBuffer {
  #blocks: Block[] = [];
  #sizeBytes = 0;

  /** Bytes of the records that were not taken yet. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(about: RecordAbout, payload: LineParts): void {
    const payloadLength = lengthOfParts(payload);
    const sizeBytes = RECORD_HEADER_BYTES + payloadLength;
    const block = this.#blockFor(sizeBytes);
    encodeRecord(block, block.used, about, payload, payloadLength);
    block.used += sizeBytes;
    this.#sizeBytes += sizeBytes;
  }

  #blockFor(sizeBytes: number): Block {
    const last = this.#blocks.at(-1);
    if (last && last.used + sizeBytes <= last.bytes.length) return last;
    // A record that is larger than any block has one of its own.
    const bytes =
      sizeBytes <= BLOCK_BYTES ? blockBuffers.take() : Buffer.allocUnsafeSlow(sizeBytes);
    const block = { bytes, view: new DataView(bytes.buffer), used: 0 };
    this.#blocks.push(block);
    return block;
  }

  /** Takes all records, in order. `giveBack` must follow once they are written. */
  take(): Block[] {
    const taken = this.#blocks;
    this.#blocks = [];
    this.#sizeBytes = 0;
    return taken;
  }

  /** The bytes that were taken may be used again. */
  giveBack(blocks: readonly Block[]): void {
    for (const { bytes } of blocks) blockBuffers.giveBack(bytes);
  }
}
