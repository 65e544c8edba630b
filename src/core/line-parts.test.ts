import { expect, test } from "vitest";
import { joinParts, lengthOfParts } from "./line-parts.ts";

test("pieces are put together in order, texts as ASCII and bytes as they are", () => {
  const parts = ['{"a": ', Uint8Array.of(0xc3, 0xa9, 0), "", new Uint8Array(0), "}\n"];
  expect([...joinParts(parts)]).toEqual([...Buffer.from('{"a": '), 0xc3, 0xa9, 0, 0x7d, 0x0a]);
  expect(lengthOfParts(parts)).toBe(11);
  expect(joinParts([])).toHaveLength(0);
});
