// Finds repeated custom_ids in about 12 to 20 bytes a line, never holding the strings: a 64-bit hash for each
// line and an open-addressing table of line indexes. Equal hashes are only a suspicion, which the
// caller confirms by reading the earlier line again.

const EMPTY = 0;

export class CustomIdIndex {
  // A random start makes collisions that are made on purpose as unlikely as chance ones.
  readonly #seed = crypto.getRandomValues(new Uint32Array(2));
  #high = new Uint32Array(1024);
  #low = new Uint32Array(1024);
  /** Index + 1 of a custom_id; EMPTY where free. Its length is a power of two. */
  #table = new Uint32Array(2048);
  #count = 0;

  /** How many were added; the index that the next one gets. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds the next custom_id. Answers the indexes of earlier ones with the same hash, oldest first:
   * nearly always none.
   */
  add(customId: string): number[] {
    const index = this.#count++;
    if (index === this.#high.length) this.#grow();
    this.#hashInto(customId, index);
    return this.#place(index);
  }

  #hashInto(customId: string, index: number): void {
    let high = this.#seed[0] ?? 0;
    let low = this.#seed[1] ?? 0;
    for (let at = 0; at < customId.length; at++) {
      const code = customId.charCodeAt(at);
      high = Math.imul(high ^ code, 0x9e3779b1);
      low = Math.imul(low ^ code, 0x85ebca6b);
      high ^= low >>> 15;
      low ^= high >>> 13;
    }
    high = Math.imul(high ^ (high >>> 16), 0xc2b2ae35);
    low = Math.imul(low ^ (low >>> 16), 0x27d4eb2f);
    this.#high[index] = high ^ (low >>> 15);
    this.#low[index] = low ^ (high >>> 13);
  }

  #place(index: number): number[] {
    const suspects: number[] = [];
    const mask = this.#table.length - 1;
    let slot = (this.#low[index] ?? 0) & mask;
    for (let found = this.#table[slot]; found !== EMPTY; found = this.#table[slot]) {
      const earlier = (found ?? 0) - 1;
      if (this.#high[earlier] === this.#high[index] && this.#low[earlier] === this.#low[index]) {
        suspects.push(earlier);
      }
      slot = (slot + 1) & mask;
    }
    this.#table[slot] = index + 1;
    return suspects;
  }

  #grow(): void {
    const length = this.#high.length * 2;
    this.#high = enlarged(this.#high, length);
    this.#low = enlarged(this.#low, length);
    this.#table = new Uint32Array(length * 2);
    for (let index = 0; index < this.#count - 1; index++) this.#place(index);
  }
}

function enlarged(old: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(length);
  larger.set(old);
  return larger;
}
