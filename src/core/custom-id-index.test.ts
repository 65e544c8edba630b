import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { CustomIdIndex } from "./custom-id-index.ts";

afterEach(() => vi.restoreAllMocks());

test("new custom_ids raise no suspicion, also after the index has grown many times", () => {
  const index = new CustomIdIndex();
  const suspects = Array.from({ length: 20_000 }, (_, n) => index.add(`request-${n}`)).flat();
  expect(suspects).toEqual([]);
  expect(index.count).toBe(20_000);
});

test("a repeated custom_id is found wherever the first one stands, before and after growing", () => {
  const index = new CustomIdIndex();
  for (let n = 0; n < 5_000; n++) index.add(`request-${n}`);
  for (const n of [0, 1, 1023, 1024, 1791, 1792, 1793, 2047, 2048, 3583, 3584, 4999]) {
    expect(index.add(`request-${n}`)).toEqual([n]);
  }
});

test("all earlier ones with the same hash are named, oldest first", () => {
  const index = new CustomIdIndex();
  const found: (readonly number[])[] = [];
  for (let n = 0; n < 4_000; n++) {
    const suspects = index.add(n % 1_000 === 0 ? "same" : `request-${n}`);
    if (suspects.length > 0) found.push(suspects);
  }
  expect(found).toEqual([[0], [0, 1_000], [0, 1_000, 2_000]]);
});

test("different custom_ids whose hashes are equal are named as well: it is for the caller to compare", () => {
  vi.spyOn(Math, "imul").mockReturnValue(0);
  const index = new CustomIdIndex();
  expect([index.add("a"), index.add("b"), index.add("c")]).toEqual([[], [0], [0, 1]]);
});

test("finds exactly the repeated ones among any strings", () => {
  const unit = fc.constantFrom("a", "b", "\u0000", "\uFFFF");
  const ids = fc.array(fc.string({ unit, maxLength: 3 }));
  fc.assert(
    fc.property(ids, (customIds) => {
      const index = new CustomIdIndex();
      const repeated = customIds.map((id) => index.add(id).map((at) => customIds[at]));
      expect(repeated).toEqual(
        customIds.map((id, at) => customIds.slice(0, at).filter((earlier) => earlier === id)),
      );
    }),
  );
});
