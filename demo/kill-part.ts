// The demo's second part: a chat batch whose server is killed in the middle and started again. What was kept
// and what was sent again is counted by the model's side, and every result is checked to be there once.

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import OpenAI from "openai";
import type { Batch } from "openai/resources";
import type { Simulator } from "../src/simulator/simulator.ts";
import {
  type BatchResult,
  checkEachOnce,
  download,
  polls,
  submit,
  untilCompleted,
} from "./batch-client.ts";
import { type ChatRequest, chatRequests, refusedRequests } from "./chat-requests.ts";
import type { ServerProcess } from "./server-process.ts";
import type { Stage } from "./stage.ts";
import { type Terminal, sizeText } from "./terminal.ts";

export interface KillPartParts {
  client: OpenAI;
  terminal: Terminal;
  server: ServerProcess;
  /** Its counts start over here. */
  simulator: Simulator;
  stage: Stage;
}

/** Lines, by when the model was asked for them. */
interface Sendings {
  /** Before the kill alone. */
  kept: number;
  /** Before the kill and after it. */
  resent: number;
  /** After the restart alone. */
  later: number;
}

interface ErrorBody {
  error: { message: string };
}

/** The part of the requests that is done when the server is killed. */
const KILL_AT = 0.4;
const DRAIN_TIMEOUT_MS = 5_000;
const DRAIN_POLL_MS = 5;

/** Runs the part. Throws when a result is missing or there twice, or a recorded one was asked for again. */
export async function runKillPart(parts: KillPartParts): Promise<void> {
  const { client, terminal, server, simulator, stage } = parts;
  terminal.heading("2  kill -9: end the server in the middle of a batch");
  const requests = chatRequests(simulator.settings.models[0]!);
  simulator.reset();
  terminal.line(
    `  ${requests.length} chat requests, at most 64 at a time; ${refusedRequests} are made to fail.`,
  );
  terminal.line(
    "  In the middle the server is killed: what is on disk by then must not be paid for again.",
  );
  terminal.line();
  const { id } = await submit(client, terminal, requests, join(stage.directory, "chat.jsonl"));
  await untilPartlyDone(client, terminal, id);

  const onDisk = await killServer(parts, id);
  const sentBefore = timesSent(simulator, requests);
  await restartServer(terminal, server);

  const batch = await untilCompleted(client, terminal, id);
  const output = await download(client, terminal, batch.output_file_id, "output");
  const errors = await download<ErrorBody>(client, terminal, batch.error_file_id, "errors");
  for (const error of errors) terminal.line(`    ${describeError(error)}`);

  const sendings = compareCounts(sentBefore, timesSent(simulator, requests));
  showSendings(terminal, simulator, sendings);
  checkEachOnce(requests, output, errors);
  checkCounts(batch, output.length, errors.length);
  if (sendings.kept < onDisk) {
    throw new Error(
      `Expected none of the ${onDisk} answers on disk to be asked for again; ${onDisk - sendings.kept} were.`,
    );
  }
  const verdict = `All ${requests.length} requests have exactly one result`;
  terminal.line(
    `  ${terminal.styled("green", verdict)}: ${output.length} in the output file, ${errors.length} in the error file.`,
  );
}

async function untilPartlyDone(client: OpenAI, terminal: Terminal, id: string): Promise<void> {
  const show = terminal.progress();
  for await (const batch of polls(client, id)) {
    show(batch);
    const { completed = 0, failed = 0, total = 0 } = batch.request_counts ?? {};
    if (total > 0 && completed + failed >= total * KILL_AT) return;
  }
  throw new Error("The batch ended before its server could be killed.");
}

/** Kills the server and shows what is left of it. Answers how many results are on disk. */
async function killServer(parts: KillPartParts, batchId: string): Promise<number> {
  const { client, terminal, server, simulator, stage } = parts;
  const { pid } = server;
  await server.kill();
  terminal.step(`kill -9 ${pid}`, "The server is gone, without a warning.", "red");
  const answer = await client.batches
    .retrieve(batchId, { maxRetries: 0 })
    .catch((error: Error) => error);
  if (!(answer instanceof Error)) throw new Error("The server answers although it was killed.");
  terminal.step("batches.retrieve", answer.message, "red");
  await untilIdle(simulator);
  const { answered, unanswered } = simulator.stats();
  terminal.step(
    "the model saw",
    `${answered + unanswered} requests, ${unanswered} of them cut off`,
  );
  const { results, sizeBytes } = await readJournals(
    join(stage.dataDir, "blobs/batches", batchId, "journals"),
  );
  terminal.step("on disk", `${results} results in the journal, ${sizeText(sizeBytes)}`);
  return results;
}

/** Everything the killed server sent has been counted once none of its connections is left. */
async function untilIdle(simulator: Simulator): Promise<void> {
  const deadline = performance.now() + DRAIN_TIMEOUT_MS;
  while (simulator.stats().inFlight > 0) {
    if (performance.now() > deadline)
      throw new Error("The simulator still has requests to answer.");
    await delay(DRAIN_POLL_MS);
  }
}

/** Counts the whole results in a batch's journals: the lines of its files, between binary headers. */
async function readJournals(directory: string): Promise<{ results: number; sizeBytes: number }> {
  let results = 0;
  let sizeBytes = 0;
  for (const name of await readdir(directory)) {
    const bytes = await readFile(join(directory, name), "latin1");
    sizeBytes += bytes.length;
    results += bytes
      .split('"custom_id":')
      .slice(1)
      .filter((rest) => rest.includes("}\n")).length;
  }
  return { results, sizeBytes };
}

async function restartServer(terminal: Terminal, server: ServerProcess): Promise<void> {
  const startedAt = performance.now();
  await server.start();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  terminal.step(
    "offpeak serve",
    `Process ${server.pid}, same directory, same port; ready after ${seconds} s.`,
    "green",
  );
}

function describeError({ custom_id: id, response, error }: BatchResult<ErrorBody>): string {
  const message = response?.body.error.message ?? error?.message ?? "";
  return `${id}  ${response?.status_code ?? error?.code}  ${message}`;
}

function timesSent(simulator: Simulator, requests: readonly ChatRequest[]): number[] {
  return requests.map(({ body }) => simulator.timesSent(body.messages[0].content));
}

function compareCounts(before: readonly number[], after: readonly number[]): Sendings {
  const sendings = { kept: 0, resent: 0, later: 0 };
  for (const [index, times] of after.entries()) {
    if (before[index] === 0) sendings.later += 1;
    else sendings[times === before[index] ? "kept" : "resent"] += 1;
  }
  return sendings;
}

function showSendings(terminal: Terminal, simulator: Simulator, sendings: Sendings): void {
  const { kept, resent, later } = sendings;
  const { requests, maxTimesSent } = simulator.stats();
  terminal.line();
  terminal.line("  What the model was asked, by its own count:");
  terminal.line();
  const row = (count: number, text: string) =>
    terminal.line(`  ${terminal.styled("bold", String(count).padStart(6))}  ${text}`);
  row(kept, "kept: their results were on disk at the kill, and they weren't sent again");
  row(resent, "sent again: they were in flight, without a result on disk");
  row(later, "sent for the first time after the restart");
  row(
    requests,
    `requests for ${kept + resent + later} lines; none was sent more than ${maxTimesSent} times`,
  );
  terminal.line();
}

function checkCounts({ request_counts: counts }: Batch, output: number, errors: number): void {
  if (counts?.completed === output && counts.failed === errors) return;
  throw new Error(
    `Expected the counts to say ${output} completed and ${errors} failed, got ${JSON.stringify(counts)}.`,
  );
}
