// Random numbers that a seed repeats, for faults at moments that can be had again.

export interface Random {
  readonly seed: number;
  /** From 0 (inclusive) to 1 (exclusive). */
  next(): number;
}

/** Uses the seed in the environment variable, when it holds one, else one of its own. */
export function seededRandom(variable: string): Random {
  const given = process.env[variable];
  const seed = given ? Number(given) : Math.floor(Math.random() * 2 ** 32);
  if (!Number.isInteger(seed))
    throw new Error(`${variable}: expected a whole number, got ${given}`);
  let state = seed | 0;
  return {
    seed,
    next() {
      // Splitmix: each step mixes a counter.
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
    },
  };
}
