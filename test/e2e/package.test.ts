// The package as it is published: packed, and unpacked where there is nothing else. Its command, its planning
// thread and its workers are other files than those of the sources.
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { chatLines, writeInputFile } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, "../..");
/** Above 1 MiB inputs are planned in the thread. */
const LINES = 600;
const PROMPT_CHARACTERS = 4_000;

let place: Workplace;
let script: string;
beforeAll(async () => {
  place = openWorkplace();
  await run("npm", ["pack", "--pack-destination", place.path(".")], { cwd: repository });
  const [archive = ""] = readdirSync(place.path(".")).filter((name) => name.endsWith(".tgz"));
  await run("tar", ["-xzf", place.path(archive), "-C", place.path(".")]);
  script = place.path("package/bin/offpeak.js");
});
afterAll(() => place[Symbol.dispose]());

test("tells its version", async () => {
  const { version } = JSON.parse(readFileSync(path.join(repository, "package.json"), "utf8")) as {
    version: string;
  };
  const { stdout } = await run(process.execPath, [script, "--version"]);
  expect(stdout).toBe(`${version}\n`);
});

test("names whose code it carries, and under which terms", () => {
  const licenses = readFileSync(place.path("package/dist/THIRD-PARTY-LICENSES.txt"), "utf8");
  for (const name of ["fastify", "kysely", "undici", "typebox"]) {
    const terms = new RegExp(`^${name} [\\d.]+ \\(MIT\\)\\n[^]{0,99}Copyright `, "m");
    expect(licenses).toMatch(terms);
  }
});

test.each([0, 1])("runs a batch that is planned in a thread, with %i workers", async (workers) => {
  await using simulator = new Simulator({});
  const { baseUrl } = await simulator.start();
  const config = { upstreams: [upstream(baseUrl)], workers };
  await using server = await ServerProcess.start({ folder: place.path("."), config, script });
  const prompt = "word ".repeat(PROMPT_CHARACTERS / 5);
  const lines = chatLines(LINES, (index) => ({
    customId: `line-${index}`,
    prompt: `${index} ${prompt}`,
  }));
  const input = await writeInputFile(place.path("input.jsonl"), lines);
  const { id } = await createBatch(server.openai, await upload(server.openai, input));
  const batch = await batchEnd(server.openai, id);
  expect([batch.status, batch.request_counts?.completed]).toEqual(["completed", LINES]);
});
