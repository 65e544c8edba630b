// What a program does to run a batch, with nothing but the official SDK: upload a file of requests, create
// the batch, poll it until it has ended, read its files. It would run unchanged against OpenAI.

import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type OpenAI from "openai";
import type { Batch, BatchCreateParams } from "openai/resources";
import { type Terminal, sizeText } from "./terminal.ts";

/** One line of an input file. */
export interface BatchRequest {
  custom_id: string;
  method: "POST";
  url: BatchCreateParams["endpoint"];
  body: object;
}

/** One line of an output or error file. */
export interface BatchResult<Body> {
  custom_id: string;
  response: { status_code: number; body: Body } | null;
  error: { code: string; message: string } | null;
}

const POLL_MS = 150;
const ENDED = new Set<Batch["status"]>(["completed", "failed", "expired", "cancelled"]);

/** Writes the requests to `path`, uploads them and creates their batch. All must have the same `url`. */
export async function submit(
  client: OpenAI,
  terminal: Terminal,
  requests: readonly BatchRequest[],
  path: string,
): Promise<Batch> {
  const endpoint = requests[0]!.url;
  await writeFile(path, requests.map((request) => `${JSON.stringify(request)}\n`).join(""));
  const file = await client.files.create({ purpose: "batch", file: createReadStream(path) });
  terminal.step("files.create", `${requests.length} requests, ${sizeText(file.bytes)}  ${file.id}`);
  const batch = await client.batches.create({
    input_file_id: file.id,
    endpoint,
    completion_window: "24h",
  });
  terminal.step("batches.create", `${endpoint}  ${batch.id}`);
  return batch;
}

/** Retrieves the batch several times a second, the last time when it has ended. */
export async function* polls(client: OpenAI, batchId: string): AsyncGenerator<Batch> {
  for (;;) {
    const batch = await client.batches.retrieve(batchId);
    yield batch;
    if (ENDED.has(batch.status)) return;
    await delay(POLL_MS);
  }
}

/** Polls with a live progress line until the batch has ended. Throws unless it completed. */
export async function untilCompleted(
  client: OpenAI,
  terminal: Terminal,
  batchId: string,
): Promise<Batch> {
  const show = terminal.progress();
  let last: Batch | undefined;
  for await (const batch of polls(client, batchId)) show((last = batch));
  terminal.closeLine();
  if (last?.status === "completed") return last;
  throw new Error(
    `Expected the batch ${batchId} to complete, and it is ${last?.status}: ` +
      JSON.stringify(last?.errors ?? last?.request_counts),
  );
}

/** Downloads an output or error file; a batch without such lines has no such file. */
export async function download<Body>(
  client: OpenAI,
  terminal: Terminal,
  fileId: string | undefined | null,
  name: string,
): Promise<BatchResult<Body>[]> {
  if (!fileId) return [];
  const jsonl = await (await client.files.content(fileId)).text();
  const lines = jsonl.split("\n").filter((line) => line !== "");
  terminal.step(
    "files.content",
    `${name}: ${lines.length} lines, ${sizeText(Buffer.byteLength(jsonl))}`,
  );
  return lines.map((line) => JSON.parse(line) as BatchResult<Body>);
}

/** Throws unless every request's custom_id is exactly once in exactly one of the files. */
export function checkEachOnce(
  requests: readonly BatchRequest[],
  ...files: readonly (readonly BatchResult<unknown>[])[]
): void {
  const times = new Map(requests.map((request) => [request.custom_id, 0]));
  for (const { custom_id: id } of files.flat()) times.set(id, (times.get(id) ?? Infinity) + 1);
  const wrong = [...times].filter(([, count]) => count !== 1);
  if (wrong.length === 0) return;
  const [id, count] = wrong[0]!;
  throw new Error(
    `Expected each of the ${requests.length} custom_ids exactly once in exactly one file; ` +
      `${wrong.length} are not, such as ${id}: ${count === Infinity ? "never asked for" : `${count} times`}.`,
  );
}
