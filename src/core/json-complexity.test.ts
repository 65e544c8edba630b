import { expect, test } from "vitest";
import { isTooComplex, MAX_PARTS } from "./json-complexity.ts";

const json = (opening: string, count: number) =>
  new TextEncoder().encode(`[${opening.repeat(count)}`);

test.each(["[", "{"])("as many as are allowed of %s, and one more", (opening) => {
  expect(isTooComplex(json(opening, MAX_PARTS - 1))).toBe(false);
  expect(isTooComplex(json(opening, MAX_PARTS))).toBe(true);
});

test("a long text of few parts is fine", () => {
  expect(isTooComplex(json("x]},", MAX_PARTS))).toBe(false);
});

test("a short text is fine", () => expect(isTooComplex(json("[", 10))).toBe(false));
