import { expect, test } from "vitest";
import { defaultProjectLimits, isProjectName, windowSeconds } from "./project.ts";

test.each([
  ["24h", 86_400],
  ["1m", 60],
  ["90m", 5_400],
  ["7d", 604_800],
  ["30d", 2_592_000],
  ["720h", 2_592_000],
])("the window %s has %i seconds", (window, seconds) => {
  expect(windowSeconds(window)).toBe(seconds);
});

test.each([
  "",
  "0h",
  "01h",
  "24",
  "h",
  "-1h",
  "1.5h",
  "24H",
  "24h ",
  "31d",
  "99999d",
  "1w",
  "constructor",
])("%j is no window", (window) => {
  expect(windowSeconds(window)).toBeUndefined();
});

test("a project that says nothing has OpenAI's one window and no other limit", () => {
  expect(defaultProjectLimits.completionWindows).toEqual(["24h"]);
  const { completionWindows: _, ...others } = defaultProjectLimits;
  expect(Object.values(others)).toEqual([null, null, null, null]);
});

test.each(["default", "team-a", "A.b_c-1", "7", "x".repeat(64)])(
  "%j can name a project",
  (name) => {
    expect(isProjectName(name)).toBe(true);
  },
);

test.each(["", "-a", ".a", "a b", "a/b", "é", "a\n", "x".repeat(65)])("%j can't", (name) => {
  expect(isProjectName(name)).toBe(false);
});
