import { describe, expect, it } from "vitest";
import { pseudoVector } from "./pseudo-vector.ts";

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}

describe("pseudoVector", () => {
  it.each([1, 2, 64, 3_072])("has length 1 in %i dimensions", (dimensions) => {
    const vector = pseudoVector("text", dimensions);
    expect(vector).toHaveLength(dimensions);
    expect(dot(vector, vector)).toBeCloseTo(1, 4);
  });

  it("depends on the text alone", () => {
    expect(pseudoVector("text", 64)).toEqual(pseudoVector("text", 64));
    expect(Math.abs(dot(pseudoVector("text", 64), pseudoVector("texts", 64)))).toBeLessThan(0.5);
  });
});
