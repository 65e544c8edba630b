// The document and the suite say the same: each row has a case, each case a row, and the counts are right.
import { describe, expect, test } from "vitest";
import { allCases } from "./all-cases.ts";
import { readDocument } from "./document.ts";

const { rows, counts, referred } = readDocument();
const ids = rows.map(({ id }) => id);
const MOST_WITHOUT_REQUEST = 10;

describe("docs/api-compatibility.md", () => {
  test("names each row once", () => {
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([]);
  });

  test("says on each side something, in its own words", () => {
    const sides = /^(same|lenient|own|beyond|not offered)\b/;
    expect(rows.filter(({ offpeak }) => !sides.test(offpeak))).toEqual([]);
    expect(rows.filter(({ openai }) => openai === "")).toEqual([]);
  });

  test("says how sure it is of OpenAI's side, or that it does not know", () => {
    const sure =
      /\((seen|tested|spec|SDK|guide|reported|guessed)\b[^)]*\)|unknown|^–$|nothing recorded/;
    const unsure = rows.filter(({ openai }) => !sure.test(openai));
    expect(unsure.map(({ id, openai }) => `${id}: ${openai}`)).toEqual([]);
  });

  test("has a case for every row but the few that no request can prove", () => {
    const proved = new Set(allCases.map(({ row }) => row));
    const unproved = rows.filter(({ id }) => !proved.has(id));
    expect(unproved.filter(({ hasNoRequest }) => !hasNoRequest)).toEqual([]);
    const marked = rows.filter(({ hasNoRequest }) => hasNoRequest);
    expect(marked.filter(({ id }) => proved.has(id))).toEqual([]);
    expect(marked.length).toBeLessThanOrEqual(MOST_WITHOUT_REQUEST);
  });

  test("has the row of every case, and of every unknown", () => {
    const cited = [...allCases.map(({ row }) => row), ...referred];
    expect(cited.filter((row) => !ids.includes(row))).toEqual([]);
    expect(referred.length).toBeGreaterThan(0);
  });

  test("counts its rows and cases", () => {
    expect(counts).toEqual({ rows: rows.length, cases: allCases.length });
  });

  test("no two cases have the same row and name", () => {
    const names = allCases.map(({ row, name }) => `${row}: ${name}`);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });
});
