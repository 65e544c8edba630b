// The order in which the lines of a batch are sent: lines whose prompts begin alike are adjacent,
// so that an inference server's prefix cache serves them; lines that share nothing stay in file
// order. Prompts are compared by hashes of growing beginnings, as such caches do by blocks.

import { crc32 } from "node:zlib";
import { countingSort } from "./counting-sort.ts";

/** Beginnings of the prompt that are hashed, in bytes. Shorter prompts count as a whole. */
const PREFIX_BYTES = [128, 1024, 8192] as const;
const LEVELS = PREFIX_BYTES.length;
/** One bit for each hash, or for a few, that tells whether it was met: 1 MiB. */
const MET_BITS = 2 ** 23;
/** Lines are kept in chunks of so many: arrays that double would waste as much as they hold. */
const CHUNK_BITS = 12;
const CHUNK_LINES = 1 << CHUNK_BITS;
/** Part of a hash table that may be filled. */
const MAX_LOAD = 7 / 8;

interface Chunk {
  /** LEVELS hashes for each line. */
  hashes: Uint32Array;
  models: Uint16Array;
}

export class DispatchOrder {
  readonly #chunks: Chunk[] = [];
  /** Of the shortest beginnings. */
  readonly #met = new Uint8Array(MET_BITS / 8);
  #count = 0;
  #severalModels = false;

  /**
   * Adds the next line.
   * @param prompt byte ranges of `bytes` that make up its prompt, in order
   */
  add(
    modelIndex: number,
    bytes: Uint8Array,
    prompt: readonly { start: number; end: number }[],
  ): void {
    const line = this.#count % CHUNK_LINES;
    if (line === 0) {
      const hashes = new Uint32Array(CHUNK_LINES * LEVELS);
      this.#chunks.push({ hashes, models: new Uint16Array(CHUNK_LINES) });
    }
    const { hashes, models } = this.#chunkOf(this.#count);
    models[line] = modelIndex;
    this.#severalModels ||= modelIndex !== 0;
    let hash = 0;
    let hashed = 0;
    let level = 0;
    let levels: number = LEVELS;
    const at = line * LEVELS;
    for (const span of prompt) {
      let { start } = span;
      while (start < span.end && level < levels) {
        const wanted = (PREFIX_BYTES[level] as number) - hashed;
        const part = bytes.subarray(start, Math.min(span.end, start + wanted));
        hash = crc32(part, hash);
        hashed += part.length;
        start += part.length;
        if (part.length < wanted) continue;
        hashes[at + level++] = hash;
        // The first of its kind stands in front of the others anyway. Where lines share nothing, that
        // is a tenth less time for the whole pass.
        if (level === 1 && !this.#meet(hash)) levels = 1;
      }
    }
    for (; level < LEVELS; level++) hashes[at + level] = hash;
    this.#count++;
  }

  /** Whether the hash, or one that shares its bit, was met before. */
  #meet(hash: number): boolean {
    const at = (hash & (MET_BITS - 1)) >>> 3;
    const met = this.#met[at] as number;
    const bit = 1 << (hash & 7);
    this.#met[at] = met | bit;
    return (met & bit) !== 0;
  }

  #chunkOf(index: number): Chunk {
    return this.#chunks[index >>> CHUNK_BITS] as Chunk;
  }

  #hash(index: number, level: number): number {
    return this.#chunkOf(index).hashes[(index % CHUNK_LINES) * LEVELS + level] as number;
  }

  /**
   * The positions of the lines in dispatch order: by model, then by shared beginnings. Groups
   * stand where their first line stands in the file.
   */
  finish(): Uint32Array {
    let order = new Uint32Array(this.#count);
    for (let index = 0; index < order.length; index++) order[index] = index;
    // What does not share the shortest beginning shares no longer one.
    const shareNothing = this.#firstSeen(0) === null;
    // Each sorting keeps the order of equals, so the last one weighs most.
    for (let level = shareNothing ? -1 : LEVELS - 1; level >= 0; level--) {
      const ranks = this.#firstSeen(level);
      if (ranks) order = countingSort(order, ranks);
    }
    return this.#severalModels ? countingSort(order, this.#models()) : order;
  }

  /** For each line the first line that has the same hash; null when each is the first. */
  #firstSeen(level: number): Uint32Array | null {
    const firsts = new Uint32Array(this.#count);
    const table = new Uint32Array(2 ** Math.ceil(Math.log2(this.#count / MAX_LOAD + 1)));
    const mask = table.length - 1;
    let shared = 0;
    for (let index = 0; index < this.#count; index++) {
      const hash = this.#hash(index, level);
      let slot = hash & mask;
      let first = table[slot] as number;
      while (first !== 0 && this.#hash(first - 1, level) !== hash) {
        slot = (slot + 1) & mask;
        first = table[slot] as number;
      }
      if (first === 0) table[slot] = first = index + 1;
      else shared++;
      firsts[index] = first - 1;
    }
    return shared > 0 ? firsts : null;
  }

  /** The model of the line at a position, as it was added. */
  modelOf(index: number): number {
    return this.#chunkOf(index).models[index % CHUNK_LINES] as number;
  }

  #models(): Uint32Array {
    return new Uint32Array(this.#count).map((_, index) => this.modelOf(index));
  }
}
