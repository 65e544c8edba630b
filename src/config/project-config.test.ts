import { expect, test } from "vitest";
import { defaultProjectLimits } from "../core/project.ts";
import { loadConfig } from "./config.ts";
import { projectLimitsOf } from "./project-config.ts";

function load(yaml: string, env: Record<string, string> = {}) {
  return loadConfig({ flags: {}, env, readFile: () => yaml, upstreamsOptional: true });
}

test("without settings every project has the defaults", () => {
  expect(projectLimitsOf(load(""), "anybody")).toEqual(defaultProjectLimits);
});

test("a project inherits what it leaves out, and null takes a limit away", () => {
  const config = load(`
project_limits:
  stored_bytes: 1000
  batches_per_hour: 2000
  queued_lines: 30
  queued_prompt_tokens: 40
projects:
  night-shift: { batches_per_hour: null, queued_lines: 7, completion_windows: [24h, 1h, 7d] }
`);
  const everybody = {
    storedBytes: 1_000,
    batchesPerHour: 2_000,
    queuedLines: 30,
    queuedPromptTokens: 40,
    completionWindows: ["24h"],
  };
  expect(projectLimitsOf(config, "other")).toEqual(everybody);
  expect(projectLimitsOf(config, "constructor")).toEqual(everybody);
  expect(projectLimitsOf(config, "night-shift")).toEqual({
    ...everybody,
    batchesPerHour: null,
    queuedLines: 7,
    completionWindows: ["24h", "1h", "7d"],
  });
});

test.each([
  [
    "project_limits: 1",
    "offpeak.yaml: project_limits: expected a mapping of keys to values, got 1.",
  ],
  [
    "project_limits: { bytes: 1 }",
    'offpeak.yaml: project_limits: unknown key "bytes". Known here: stored_bytes, ',
  ],
  [
    "project_limits: { queued_lines: 0 }",
    "offpeak.yaml: project_limits.queued_lines: expected a whole number of at least 1, or null for no limit, got 0.",
  ],
  [
    "projects: { a: { completion_windows: 24h } }",
    'offpeak.yaml: projects.a.completion_windows: expected a list of windows such as [24h, 1h], got "24h".',
  ],
  [
    "projects: { a: { completion_windows: [24h, 31d] } }",
    'offpeak.yaml: projects.a.completion_windows[1]: expected a window such as 30m, 24h or 7d, at most 30d, got "31d".',
  ],
  [
    "projects: { a/b: {} }",
    'offpeak.yaml: projects: expected names of letters, digits and . _ - (at most 64), got "a/b".',
  ],
])("%s is refused with its place", (yaml, message) => {
  expect(() => load(yaml)).toThrow(message);
});

test("keys come from variables or the file, and are printed nowhere", () => {
  const long = "a-secret-of-some-length";
  const config = load("secret_key: ${MY_KEY}", { OFFPEAK_ADMIN_KEY: long, MY_KEY: `${long}!` });
  expect(config.adminKey?.reveal()).toBe(long);
  expect(config.secretKey?.reveal()).toBe(`${long}!`);
  expect(JSON.stringify(config)).not.toContain(long);
  expect(load("").adminKey).toBeUndefined();
});

test.each([
  [
    "",
    { OFFPEAK_ADMIN_KEY: "short" },
    "OFFPEAK_ADMIN_KEY: expected at least 16 characters without spaces, got 5 characters.",
  ],
  [
    "admin_key: a key with spaces in it",
    {},
    "offpeak.yaml: admin_key: expected at least 16 characters without spaces, got 23 characters.",
  ],
  [
    "secret_key: 7",
    {},
    "offpeak.yaml: secret_key: expected text such as ${MY_KEY}, got something else.",
  ],
  [
    "secret_key: ${NOT_SET}",
    {},
    "offpeak.yaml: secret_key: the environment variable NOT_SET that it names is not set. Set it, or leave secret_key out",
  ],
])("a bad key is refused without being shown: %s", (yaml, env, message) => {
  expect(() => load(yaml, env as Record<string, string>)).toThrow(message);
});
