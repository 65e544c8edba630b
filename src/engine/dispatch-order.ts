// The order in which the lines of a batch are sent: lines whose prompts begin alike are adjacent,
// so that an inference server's prefix cache serves them; lines that share nothing stay in file
// order. Prompts are compared by hashes of growing beginnings, as such caches do by blocks.

import { crc32 } from "node:zlib";

/** Beginnings of the prompt that are hashed, in bytes. Shorter prompts count as a whole. */
const PREFIX_BYTES = [128, 1024, 8192] as const;
const LEVELS = PREFIX_BYTES.length;

export class DispatchOrder {
  #count = 0;
  /** LEVELS hashes for each line. */
  #hashes = new Uint32Array(1024 * LEVELS);
  #models = new Uint16Array(1024);

  /**
   * Adds the next line.
   * @param prompt byte ranges of `bytes` that make up its prompt, in order
   */
  add(
    modelIndex: number,
    bytes: Uint8Array,
    prompt: readonly { start: number; end: number }[],
  ): void {
    if (this.#count === this.#models.length) this.#grow();
    this.#models[this.#count] = modelIndex;
    let hash = 0;
    let hashed = 0;
    let level = 0;
    const at = this.#count * LEVELS;
    for (let { start, end } of prompt) {
      while (start < end && level < LEVELS) {
        const wanted = (PREFIX_BYTES[level] ?? 0) - hashed;
        const part = bytes.subarray(start, Math.min(end, start + wanted));
        hash = crc32(part, hash);
        hashed += part.length;
        start += part.length;
        if (part.length === wanted) this.#hashes[at + level++] = hash;
      }
    }
    for (; level < LEVELS; level++) this.#hashes[at + level] = hash;
    this.#count++;
  }

  #grow(): void {
    const models = new Uint16Array(this.#models.length * 2);
    models.set(this.#models);
    const hashes = new Uint32Array(models.length * LEVELS);
    hashes.set(this.#hashes);
    this.#models = models;
    this.#hashes = hashes;
  }

  /**
   * The positions of the lines in dispatch order: by model, then by shared beginnings. Groups
   * stand where their first line stands in the file. Use it once: it spends the hashes.
   */
  finish(): Uint32Array {
    const count = this.#count;
    const order = new Uint32Array(count);
    for (let index = 0; index < count; index++) order[index] = index;
    if (!this.#toFirstSeen()) return order;
    const ranks = this.#hashes;
    const models = this.#models;
    return order.sort((a, b) => {
      const byModel = (models[a] ?? 0) - (models[b] ?? 0);
      if (byModel !== 0) return byModel;
      for (let level = 0; level < LEVELS; level++) {
        const byRank = (ranks[a * LEVELS + level] ?? 0) - (ranks[b * LEVELS + level] ?? 0);
        if (byRank !== 0) return byRank;
      }
      return a - b;
    });
  }

  /** Replaces each hash by the first line that has it; answers whether file order is not enough. */
  #toFirstSeen(): boolean {
    const table = new Uint32Array(2 ** Math.ceil(Math.log2(this.#count * 1.5 + 2)));
    const mask = table.length - 1;
    const hashes = this.#hashes.slice(0, this.#count * LEVELS);
    let shuffled = false;
    for (let level = 0; level < LEVELS; level++) {
      table.fill(0);
      for (let index = 0; index < this.#count; index++) {
        const hash = hashes[index * LEVELS + level] ?? 0;
        let slot = hash & mask;
        let first = table[slot] ?? 0;
        while (first !== 0 && hashes[(first - 1) * LEVELS + level] !== hash) {
          slot = (slot + 1) & mask;
          first = table[slot] ?? 0;
        }
        if (first === 0) table[slot] = first = index + 1;
        else shuffled = true;
        this.#hashes[index * LEVELS + level] = first - 1;
      }
    }
    return shuffled || this.#models.subarray(0, this.#count).some((model) => model !== 0);
  }
}
