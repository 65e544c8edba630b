// The last line of a test run, as a child process prints it for runs that pass, fail and break.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";

const vitest = path.resolve(import.meta.dirname, "../node_modules/vitest/vitest.mjs");
const reporter = path.resolve(import.meta.dirname, "support/totals-reporter.ts");

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "offpeak-totals-"));
  await writeFile(
    path.join(folder, "vitest.config.mjs"),
    `import { TotalsReporter } from ${JSON.stringify(reporter)};
     export default { test: { globals: true, reporters: ["default", new TotalsReporter()] } };`,
  );
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** Runs the tests of these files and returns the exit code and the last line printed. */
async function totals(files: Readonly<Record<string, string>>): Promise<[number, string]> {
  for (const [file, text] of Object.entries(files)) {
    await writeFile(path.join(folder, file), text);
  }
  return await new Promise((resolve) => {
    const child = execFile(process.execPath, [vitest, "run"], { cwd: folder }, (_error, stdout) => {
      resolve([child.exitCode!, stdout.trimEnd().split("\n").at(-1)!]);
    });
  });
}

it("counts what passed, failed and was skipped", async () => {
  const text = `
    it("passes", () => expect(1).toBe(1));
    it("passes too", () => expect(1).toBe(1));
    it.skip("is skipped", () => {});
    describe("inside", () => { it("fails", () => expect(1).toBe(2)); });`;
  expect(await totals({ "a.test.js": text })).toEqual([1, "2 passed, 1 failed, 1 skipped"]);
});

it("names nothing skipped when nothing was", async () => {
  const text = `it("passes", () => expect(1).toBe(1));`;
  expect(await totals({ "a.test.js": text })).toEqual([0, "1 passed, 0 failed"]);
});

it("counts a file that does not load, a failing hook and an error that nobody handled", async () => {
  const files = {
    "load.test.js": `throw new Error("does not load");`,
    "hook.test.js": `
      describe("inside", () => {
        afterAll(() => { throw new Error("hook"); });
        it("passes", () => expect(1).toBe(1));
      });`,
    "unhandled.test.js": `
      it("passes", async () => {
        Promise.reject(new Error("unhandled"));
        await new Promise((resolve) => setImmediate(resolve));
        expect(1).toBe(1);
      });`,
  };
  expect(await totals(files)).toEqual([1, "2 passed, 3 failed"]);
});

it("counts a run without tests as failed", async () => {
  expect(await totals({})).toEqual([1, "0 passed, 1 failed"]);
});
