// The routing rules on small vectors, and the report as numbers and as a table.

import { describe, expect, it } from "vitest";
import {
  cosineSimilarity,
  formatRoutingReport,
  nearestDepartment,
  routingReport,
} from "./route-tickets.ts";

describe("cosineSimilarity", () => {
  it("depends on the direction alone", () => {
    expect(cosineSimilarity([1, 2], [10, 20])).toBeCloseTo(1);
    expect(cosineSimilarity([1, 0], [0, 5])).toBe(0);
    expect(cosineSimilarity([1, -2], [-3, 6])).toBeCloseTo(-1);
    expect(cosineSimilarity([1, 0], [1, 1])).toBeCloseTo(Math.SQRT1_2);
  });

  it("is 0 for a vector of zeros", () => {
    expect(cosineSimilarity([0, 0], [1, 1])).toBe(0);
  });

  it("compares arrays with Float32Arrays", () => {
    expect(cosineSimilarity([3, 4], Float32Array.of(3, 4))).toBeCloseTo(1);
  });

  it("refuses vectors of different lengths", () => {
    expect(() => cosineSimilarity([1], [1, 2])).toThrow("got 1 and 2");
  });
});

describe("nearestDepartment", () => {
  it("chooses the highest similarity, not the longest vector", () => {
    const descriptions = new Map([
      ["billing", [100, 90]],
      ["shipping", [0.1, 0]],
      ["returns", [-1, 0]],
    ]);
    expect(nearestDepartment([5, 1], descriptions)).toBe("shipping");
  });

  it("lets the first department win a tie", () => {
    const descriptions = new Map([
      ["billing", [1, 0]],
      ["shipping", [2, 0]],
    ]);
    expect(nearestDepartment([1, 0], descriptions)).toBe("billing");
  });

  it("refuses to choose among none", () => {
    expect(() => nearestDepartment([1], new Map())).toThrow("at least one department");
  });
});

describe("routingReport", () => {
  const report = routingReport([
    { expected: "billing", chosen: "returns" },
    { expected: "shipping", chosen: "shipping" },
    { expected: "shipping", chosen: "account" },
    { expected: "shipping", chosen: "returns" },
    { expected: "shipping", chosen: "returns" },
  ]);

  it("counts what was routed as labelled", () => {
    expect(report).toMatchObject({ total: 5, correct: 1, accuracy: 0.2 });
  });

  it("says for each label where its tickets went, the most frequent first", () => {
    expect(report.departments).toEqual([
      {
        department: "billing",
        total: 1,
        correct: 0,
        confusions: [{ department: "returns", count: 1 }],
      },
      {
        department: "shipping",
        total: 4,
        correct: 1,
        confusions: [
          { department: "returns", count: 2 },
          { department: "account", count: 1 },
        ],
      },
    ]);
  });

  it("is 0 for no tickets", () => {
    expect(routingReport([])).toEqual({ total: 0, correct: 0, accuracy: 0, departments: [] });
  });

  it("prints as a table with the largest department first", () => {
    expect(formatRoutingReport(report).split("\n")).toEqual([
      "department    correct  sent elsewhere",
      "shipping          1/4  returns 2, account 1",
      "billing           0/1  returns 1",
    ]);
  });
});
