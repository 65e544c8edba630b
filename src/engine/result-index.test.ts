import fc from "fast-check";
import { expect, test } from "vitest";
import { encodePlanEntry, PLAN_ENTRY_BYTES, PlanSlice } from "./plan.ts";
import { ResultIndex, type ResultPlace } from "./result-index.ts";

/** A plan whose entries have these line numbers, in two slices. */
function indexOf(lineNumbers: readonly number[]): ResultIndex {
  const bytes = new Uint8Array(lineNumbers.length * PLAN_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  lineNumbers.forEach((lineNumber, at) => {
    encodePlanEntry(view, at * PLAN_ENTRY_BYTES, {
      lineNumber,
      lineStart: 0,
      lineLength: 0,
      bodyStart: 0,
      bodyLength: 0,
      customIdStart: 0,
      customIdLength: 0,
    });
  });
  const index = new ResultIndex(lineNumbers.length);
  const half = Math.floor(lineNumbers.length / 2) * PLAN_ENTRY_BYTES;
  index.addEntries(new PlanSlice(bytes.subarray(0, half)));
  index.addEntries(new PlanSlice(bytes.subarray(half)));
  index.sort();
  return index;
}

const placesOf = (index: ResultIndex) =>
  Array.from({ length: index.count }, (_, at) => index.place(at));

type Result = NonNullable<ResultPlace["result"]>;

test("lists all lines in the order of the input, each with its place in the plan and its result", () => {
  const results = fc.record<Result>({
    lineClass: fc.constantFrom("output", "error"),
    inBlob: fc.boolean(),
    journal: fc.nat(5_000),
    start: fc.maxSafeNat(),
    length: fc.nat(2 ** 31 - 1),
  });
  const line = fc.record({
    lineNumber: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    result: fc.option(results),
  });
  const plans = fc.uniqueArray(line, { selector: ({ lineNumber }) => lineNumber });
  fc.assert(
    fc.property(plans, (lines) => {
      const index = indexOf(lines.map(({ lineNumber }) => lineNumber));
      for (const { lineNumber, result } of lines) if (result) index.addResult(lineNumber, result);
      const expected = lines
        .map(({ lineNumber, result }, planIndex) => ({ lineNumber, planIndex, result }))
        .toSorted((a, b) => a.lineNumber - b.lineNumber);
      expect(placesOf(index)).toEqual(expected);
    }),
  );
});

test("of two results for one line the first one counts", () => {
  const index = indexOf([5]);
  const first: Result = { lineClass: "error", inBlob: false, journal: 0, start: 16, length: 10 };
  index.addResult(5, first);
  index.addResult(5, { lineClass: "output", inBlob: true, journal: 1, start: 99, length: 1 });
  expect(placesOf(index)).toEqual([{ lineNumber: 5, planIndex: 0, result: first }]);
});

test("a result for a line that the plan does not have is an error", () => {
  const index = indexOf([1, 2, 4]);
  const result: Result = { lineClass: "output", inBlob: false, journal: 0, start: 0, length: 1 };
  for (const lineNumber of [0, 3, 5]) {
    expect(() => index.addResult(lineNumber, result)).toThrow(
      `a journal has a result for line ${lineNumber}, which the plan does not have`,
    );
  }
});
