import fc from "fast-check";
import { expect, test } from "vitest";
import { countingSort } from "./counting-sort.ts";

test("orders elements by their ranks, equals as they were", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(9), fc.nat())), (elements) => {
      const ranks = Uint32Array.from(elements, ([rank]) => rank);
      const order = elements
        .map((_, at) => at)
        .toSorted((a, b) => elements[a]![1] - elements[b]![1]);
      expect([...countingSort(Uint32Array.from(order), ranks)]).toEqual(
        order.toSorted((a, b) => ranks[a]! - ranks[b]!),
      );
    }),
  );
});
