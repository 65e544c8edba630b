import { expect, test } from "vitest";
import { SpareBuffers } from "./spare-buffers.ts";

test("hands out again what was given back, up to its limit, and nothing of another size", () => {
  const spare = new SpareBuffers(8, 2);
  const buffers = [spare.take(), spare.take(), spare.take()];
  expect(new Set(buffers).size).toBe(3);
  expect(buffers.map(({ length }) => length)).toEqual([8, 8, 8]);
  spare.giveBack(Buffer.alloc(9));
  for (const buffer of buffers) spare.giveBack(buffer);
  const again = [spare.take(), spare.take(), spare.take()];
  expect(again.filter((buffer) => buffers.includes(buffer))).toHaveLength(2);
});
