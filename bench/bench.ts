// `npm run bench`: how much of the machine Offpeak leaves on the table. Every figure is a ratio to a
// reference measured in the same run, in interleaved rounds. Options: --rounds N, --json.

import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { measureNode, startNode } from "./processes.ts";
import { type BatchTimes, runBatch } from "./run-batch.ts";

const LINES = 50_000;
const LINE_BYTES = 4_000;
const IN_FLIGHT = 64;

interface Figure {
  name: string;
  /** One value a round. */
  values: number[];
  unit: string;
}

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, json: { type: "boolean", default: false } },
});
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new RangeError(
    `--rounds takes a whole number from 1, got ${JSON.stringify(options.rounds)}`,
  );
}

function progress(text: string): void {
  if (!options.json) console.error(text);
}

async function writeInput(file: string): Promise<void> {
  const out = createWriteStream(file);
  const filler = "The quick brown fox jumps over the lazy dog. ".repeat(100);
  for (let index = 0; index < LINES; index++) {
    const content = `${index} ${filler}`.slice(0, LINE_BYTES - 150);
    const body = { model: "bench", messages: [{ role: "user", content }] };
    const line = { custom_id: `line-${index}`, method: "POST", url: "/v1/chat/completions", body };
    if (!out.write(`${JSON.stringify(line)}\n`)) {
      await new Promise((resolve) => out.once("drain", resolve));
    }
  }
  out.end();
  await finished(out);
}

async function measureBatch(
  directory: string,
  round: number,
  baseUrl: string,
  input: string,
): Promise<BatchTimes & { peakMb: number }> {
  const dataDir = path.join(directory, `data-${round}`);
  const flags = [
    "serve",
    "--port",
    "0",
    "--data-dir",
    dataDir,
    "--upstream",
    baseUrl,
    "--log-level",
    "warn",
  ];
  await using server = await startNode("src/cli/offpeak.ts", flags);
  const url = /http:\/\/[^\s.]+\.[^\s]+?(?=[.\s]*(?:\s|$))/.exec(server.firstLine)?.[0];
  if (!url) throw new Error(`no address in: ${server.firstLine}`);
  const times = await runBatch(url, input);
  const peakMb = server.peakMb();
  await rm(dataDir, { recursive: true });
  return { ...times, peakMb };
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const directory = await mkdtemp(path.join(os.tmpdir(), "offpeak-bench-"));
try {
  const input = path.join(directory, "input.jsonl");
  progress(`writing ${LINES} lines of ${LINE_BYTES} bytes`);
  await writeInput(input);
  const figures: Figure[] = [
    { name: "lines/s ÷ bare dispatch loop, no latency, 64 in flight", values: [], unit: "×" },
    { name: "validating ÷ bare JSON.parse pass", values: [], unit: "×" },
    { name: "durable lines/s", values: [], unit: "lines/s" },
    { name: "bare dispatch loop", values: [], unit: "requests/s" },
    { name: "assembling", values: [], unit: "ms" },
    { name: "peak resident memory of the server", values: [], unit: "MB" },
  ];
  await using backend = await startNode("bench/raw-responder.ts", []);
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    const bareMs = await measureNode("bench/bare-dispatch.ts", [
      backend.firstLine,
      input,
      String(IN_FLIGHT),
    ]);
    const passMs = await measureNode("bench/bare-pass.ts", [input]);
    const batch = await measureBatch(directory, round, backend.firstLine, input);
    const values = [
      bareMs / batch.runningMs,
      batch.validatingMs / passMs,
      (LINES / batch.runningMs) * 1000,
      (LINES / bareMs) * 1000,
      batch.finalizingMs,
      batch.peakMb,
    ];
    values.forEach((value, at) => figures[at]?.values.push(value));
  }
  const about = {
    machine: `${os.cpus().length} × ${os.cpus()[0]?.model}`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    rounds,
    input: `${LINES} lines of ${LINE_BYTES} bytes`,
  };
  if (options.json) {
    console.log(JSON.stringify({ ...about, figures }, null, 2));
  } else {
    console.log(
      Object.entries(about)
        .map(([name, value]) => `${name}: ${value}`)
        .join("; "),
    );
    console.log("\n| figure | median | lowest | highest |\n| --- | --- | --- | --- |");
    for (const { name, values, unit } of figures) {
      const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)].map(
        (value) =>
          `${value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en-US")} ${unit}`,
      );
      console.log(`| ${name} | ${middle} | ${low} | ${high} |`);
    }
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
