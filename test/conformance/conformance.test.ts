// Every case of the conformance suite against servers started here, on which all of them can be run.
import { afterAll, beforeAll, expect, test } from "vitest";
import { allCases } from "./all-cases.ts";
import { type Case, needs, sortedByNeeds } from "./case.ts";
import { expiredBatch } from "./samples.ts";
import { type Stage, openStage } from "./stage.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await openStage();
  // Takes a minute, so it begins first, and those that look at it come last; they report a failure.
  expiredBatch(stage.surroundings["short-window"]).catch(() => undefined);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

test("all cases can be run here", () => {
  const { notRunHere } = sortedByNeeds(allCases, stage.surroundings);
  expect(notRunHere).toEqual([]);
  expect(Object.keys(stage.surroundings).toSorted()).toEqual(needs.toSorted());
});

const waits = (one: Case) => one.needs?.includes("short-window") === true;
const inOrder = allCases.toSorted((a, b) => Number(waits(a)) - Number(waits(b)));

test.each(inOrder.map((one) => [one.row, one.name, one] as const))(
  "%s: %s",
  async (_row, _name, one) => {
    await expect(one.run(stage.target)).resolves.toBeUndefined();
  },
);
