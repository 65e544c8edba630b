// Finds repeated custom_ids in 13 to 17 bytes a line, never holding the strings: a 64-bit hash for each
// line and an open-addressing table of line indexes. Equal hashes are only a suspicion, which the
// caller confirms by reading the earlier line again.

const EMPTY = 0;
const NONE: readonly number[] = [];
const FIRST_TABLE_SLOTS = 2048;
/** Hashes are kept in chunks of so many: one array that doubles would waste as much as it holds. */
const CHUNK_BITS = 10;
const CHUNK_HASHES = 1 << CHUNK_BITS;
/** Part of the table that may be filled. */
const MAX_LOAD = 7 / 8;

export class CustomIdIndex {
  // A random start makes collisions that are made on purpose as unlikely as chance ones.
  readonly #seed = crypto.getRandomValues(new Uint32Array(2));
  /** High and low half of each hash, side by side. */
  readonly #chunks: Uint32Array[] = [];
  /** Index + 1 of a custom_id; EMPTY where free. Its length is a power of two. */
  #table = new Uint32Array(FIRST_TABLE_SLOTS);
  #count = 0;

  /** How many were added; the index that the next one gets. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds the next custom_id. Answers the indexes of earlier ones with the same hash, oldest first:
   * nearly always none.
   */
  add(customId: string): readonly number[] {
    const index = this.#count++;
    if (index % CHUNK_HASHES === 0) this.#chunks.push(new Uint32Array(2 * CHUNK_HASHES));
    this.#hashInto(customId, index);
    if (index >= this.#table.length * MAX_LOAD) this.#grow(index);
    return this.#place(index);
  }

  #hashInto(customId: string, index: number): void {
    let high = this.#seed[0] as number;
    let low = this.#seed[1] as number;
    for (let at = 0; at < customId.length; at++) {
      const code = customId.charCodeAt(at);
      high = Math.imul(high ^ code, 0x9e3779b1);
      low = Math.imul(low ^ code, 0x85ebca6b);
      high ^= low >>> 15;
      low ^= high >>> 13;
    }
    high = Math.imul(high ^ (high >>> 16), 0xc2b2ae35);
    low = Math.imul(low ^ (low >>> 16), 0x27d4eb2f);
    const chunk = this.#chunkOf(index);
    const at = 2 * (index % CHUNK_HASHES);
    chunk[at] = high ^ (low >>> 15);
    chunk[at + 1] = low ^ (high >>> 13);
  }

  #chunkOf(index: number): Uint32Array {
    return this.#chunks[index >>> CHUNK_BITS] as Uint32Array;
  }

  #half(index: number, which: 0 | 1): number {
    return this.#chunkOf(index)[2 * (index % CHUNK_HASHES) + which] as number;
  }

  #place(index: number): readonly number[] {
    let suspects = NONE;
    const high = this.#half(index, 0);
    const low = this.#half(index, 1);
    const mask = this.#table.length - 1;
    let slot = low & mask;
    for (let found = this.#found(slot); found !== EMPTY; found = this.#found(slot)) {
      const earlier = found - 1;
      if (this.#half(earlier, 0) === high && this.#half(earlier, 1) === low) {
        suspects = [...suspects, earlier];
      }
      slot = (slot + 1) & mask;
    }
    this.#table[slot] = index + 1;
    return suspects;
  }

  #found(slot: number): number {
    return this.#table[slot] as number;
  }

  /** Doubles the table and puts the first `placed` hashes in their new slots. */
  #grow(placed: number): void {
    const slots = this.#table.length * 2;
    // The old table is let go first: the two of them are never needed together.
    this.#table = new Uint32Array(0);
    this.#table = new Uint32Array(slots);
    for (let index = 0; index < placed; index++) this.#place(index);
  }
}
