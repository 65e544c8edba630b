// Embeddings without a model: a vector of length 1 that depends on nothing but the text.

/** `dimensions` numbers; equal texts give equal vectors, others point elsewhere. */
export function pseudoVector(text: string, dimensions: number): Float32Array<ArrayBuffer> {
  let state = textHash(text);
  const vector = new Float32Array(dimensions);
  let squares = 0;
  for (let index = 0; index < dimensions; index++) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const value = (mixed ^ (mixed >>> 14)) / 2 ** 31;
    vector[index] = value;
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  if (length === 0) vector[0] = 1;
  else for (let index = 0; index < dimensions; index++) vector[index]! /= length;
  return vector;
}

function textHash(text: string): number {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  }
  return state;
}
