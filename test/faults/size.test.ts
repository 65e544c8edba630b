// The largest file that OpenAI takes, 200 MB in 50,000 lines, from upload to download: the server's
// memory stays small, and validating costs little more than reading the file at all.
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { chatLine, type InputLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace } from "../support/workplace.ts";

const LINES = 50_000;
const MB = 1_000_000;
const SMALLEST_FILE_BYTES = 200 * MB;
const LARGEST_FILE_BYTES = 200 * 1024 * 1024;
const MOST_RESIDENT_BYTES = 300 * MB;
const MOST_PASSES = 2;
/** How often validating and a bare pass are measured: more often only while it takes too long. */
const ROUNDS = { least: 3, most: 8 };

const BARE_PASS = fileURLToPath(new URL("../../bench/bare-pass.ts", import.meta.url));
const run = promisify(execFile);

/** Prose as people send it: mostly ASCII, with quotes and line breaks to escape. */
const PROSE = 'The ticket says: "it rains in".\nWhere it rains, and how much, nobody wrote down. ';
const FOREIGN = "Élodie sagt: „Größe“ — 東京. ";

function* inputLines(): Generator<InputLine> {
  for (let index = 0; index < LINES; index++) {
    const text = PROSE.repeat(46) + (index % 10 === 0 ? FOREIGN : "");
    yield chatLine({ customId: `ticket-${index}`, prompt: `Ticket ${index}. ${text}` });
  }
}

/** Milliseconds of reading the file, cutting it at newlines and parsing each line, in a process of its own. */
async function barePassMs(path: string): Promise<number> {
  const { stdout } = await run(process.execPath, [BARE_PASS, path]);
  return Number(stdout);
}

describe("a file of 200 MB and 50,000 lines", () => {
  it("is handled in little memory and little time", async () => {
    using place = openWorkplace();
    const path = await writeInputFile(place.path("input.jsonl"), inputLines());
    const { size } = await stat(path);
    expect(size).toBeGreaterThanOrEqual(SMALLEST_FILE_BYTES);
    expect(size).toBeLessThanOrEqual(LARGEST_FILE_BYTES);

    await using simulator = new Simulator();
    const { baseUrl } = await simulator.start();
    const config = { upstreams: [upstream(baseUrl)] };
    await using server = await ServerProcess.start({ folder: place.path("."), config });

    const fileId = await upload(server.openai, path);
    expect(await server.openai.files.retrieve(fileId)).toMatchObject({ bytes: size });
    const passesMs = [await barePassMs(path)];
    const { id } = await createBatch(server.openai, fileId);
    const batch = await batchEnd(server.openai, id);
    const customIds = Array.from({ length: LINES }, (_, index) => `ticket-${index}`);
    const judgement = await judge(server.openai, batch, customIds);
    expect(judgement.problems).toEqual([]);
    expect(judgement.output).toBe(LINES);
    expect(simulator.stats()).toMatchObject({ requests: LINES, maxTimesSent: 1 });

    // Other programs can only make it slower: the fastest of several rounds tells.
    const ratio = () => Math.min(...validatingMs) / Math.min(...passesMs);
    const isEnough = () => validatingMs.length >= ROUNDS.least && ratio() <= MOST_PASSES;
    const validatingMs = [loggedMs(server, id, "batch created", "batch planned")];
    while (!isEnough() && validatingMs.length < ROUNDS.most) {
      passesMs.push(await barePassMs(path));
      validatingMs.push(await validateOnly(server, fileId));
    }
    const residentBytes = await server.peakResidentBytes();
    console.info(
      `peak resident memory ${Math.round(residentBytes / MB)} MB; validating ${ratio().toFixed(2)} ` +
        `bare passes (${validatingMs.join(", ")} ms; ${passesMs.map(Math.round).join(", ")} ms); ` +
        `running and assembling ${loggedMs(server, id, "batch planned", "batch ended")} ms`,
    );
    expect(residentBytes).toBeLessThan(MOST_RESIDENT_BYTES);
    expect(ratio()).toBeLessThanOrEqual(MOST_PASSES);
  });
});

/** Milliseconds between two entries of the log about a batch. */
function loggedMs(server: ServerProcess, batchId: string, from: string, to: string): number {
  const [start, end] = [from, to].map((msg) =>
    server.logged(msg).find((line) => line["batch_id"] === batchId),
  );
  if (!start || !end) throw new Error(`"${from}" and "${to}" should be logged of ${batchId}`);
  return Date.parse(end.time) - Date.parse(start.time);
}

/** Milliseconds that another batch over the file was validating; it is then cancelled. */
async function validateOnly(server: ServerProcess, fileId: string): Promise<number> {
  const { id } = await createBatch(server.openai, fileId);
  await until("the batch to be planned", () =>
    server.logged("batch planned").some((line) => line["batch_id"] === id),
  );
  await server.openai.batches.cancel(id);
  await batchEnd(server.openai, id);
  return loggedMs(server, id, "batch created", "batch planned");
}
