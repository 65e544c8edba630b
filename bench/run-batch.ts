// Sends one batch through a server with the official SDK and times its phases by polling.

import { createReadStream } from "node:fs";
import OpenAI from "openai";

export interface BatchTimes {
  validatingMs: number;
  /** From `in_progress` to the last line recorded. */
  runningMs: number;
  finalizingMs: number;
}

const POLL_MS = 5;

/** @param url the server's address, without `/v1` */
export async function runBatch(url: string, input: string): Promise<BatchTimes> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "bench" });
  const file = await client.files.create({ file: createReadStream(input), purpose: "batch" });
  const createdMs = performance.now();
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  const seenMs = new Map<string, number>();
  while (batch.status !== "completed") {
    if (["failed", "expired", "cancelled"].includes(batch.status)) {
      throw new Error(`the batch ended as ${batch.status}: ${JSON.stringify(batch.errors)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    batch = await client.batches.retrieve(batch.id);
    if (!seenMs.has(batch.status)) seenMs.set(batch.status, performance.now());
  }
  const completedMs = seenMs.get("completed") ?? 0;
  const finalizingMs = seenMs.get("finalizing") ?? completedMs;
  const runningMs = seenMs.get("in_progress") ?? createdMs;
  return {
    validatingMs: runningMs - createdMs,
    runningMs: finalizingMs - runningMs,
    finalizingMs: completedMs - finalizingMs,
  };
}
