import { describe, expect, it } from "vitest";
import { defineGroup } from "./bench-run.ts";
import { median, reportOf, tableOf } from "./report.ts";

const group = defineGroup({
  name: "sample",
  about: "made up",
  figures: {
    speed: { name: "speed", unit: "×", target: { must: 0.6, wish: 0.8, better: "higher" } },
    memory: { name: "memory", unit: "MB", target: { must: 200, better: "lower" } },
    took: { name: "took", unit: "ms" },
  },
  measure: () => Promise.resolve({ speed: 1, memory: 1, took: 1 }),
});

const metBy = (round: { speed: number; memory: number; took: number }) =>
  reportOf(group, [round]).figures.map(({ met }) => met);

describe("the report", () => {
  it("takes the median and the spread over the rounds", () => {
    const rounds = [0.5, 0.9, 0.7].map((speed) => ({ speed, memory: 100, took: 3 }));
    const { rounds: count, figures } = reportOf(group, rounds);
    expect(count).toBe(3);
    expect(figures[0]).toMatchObject({ median: 0.7, lowest: 0.5, highest: 0.9, met: "must" });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it("says which target is met, whichever way is better", () => {
    expect(metBy({ speed: 0.8, memory: 200, took: 1 })).toEqual(["wish", "must", null]);
    expect(metBy({ speed: 0.59, memory: 201, took: 1 })).toEqual(["missed", "missed", null]);
  });

  it("prints targets beside the figures, and what could not be measured", () => {
    const rounds = [{ speed: Number.NaN, memory: 1_234.5, took: 12.34 }];
    expect(tableOf([reportOf(group, rounds)]).split("\n")).toEqual([
      "| figure | median | lowest | highest | must | wish | met |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      "| **sample**: made up (rounds: 1) |  |  |  |  |  |  |",
      "| speed | – | – | – | ≥ 0.60 × | ≥ 0.80 × | not measured |",
      "| memory | 1,235 MB | 1,235 MB | 1,235 MB | ≤ 200 MB |  | **missed** |",
      "| took | 12.3 ms | 12.3 ms | 12.3 ms |  |  |  |",
    ]);
  });
});
