// Drives batches through the API with the official SDK: upload, create, look, wait.
import { openAsBlob } from "node:fs";
import type OpenAI from "openai";
import type { Batch, BatchCreateParams } from "openai/resources/batches";
import { type Patience, until } from "./until.ts";

export const CHAT = "/v1/chat/completions";

const ENDED: readonly Batch["status"][] = ["completed", "failed", "expired", "cancelled"];

export function hasEnded({ status }: Batch): boolean {
  return ENDED.includes(status);
}

/** Uploads a file from disk as it is read. */
export async function upload(openai: OpenAI, path: string): Promise<string> {
  const content = await openAsBlob(path);
  const file = new File([content], "input.jsonl");
  return (await openai.files.create({ file, purpose: "batch" })).id;
}

export async function createBatch(
  openai: OpenAI,
  inputFileId: string,
  more: Partial<BatchCreateParams> = {},
): Promise<Batch> {
  return openai.batches.create({
    input_file_id: inputFileId,
    endpoint: CHAT,
    completion_window: "24h",
    ...more,
  });
}

/** The reason for which the batch waits, as the API shows it; null while it moves. */
export async function waitingReason(openai: OpenAI, batchId: string): Promise<string | null> {
  const { response } = await openai.batches.retrieve(batchId).withResponse();
  return response.headers.get("offpeak-waiting-reason");
}

/** Waits until the batch is as `condition` wants it. Throws when it has ended otherwise. */
export async function batchThat(
  openai: OpenAI,
  batchId: string,
  what: string,
  condition: (batch: Batch) => boolean,
  patience: Patience = {},
): Promise<Batch> {
  let seen: Batch | undefined;
  const isDecided = async () => {
    seen = await openai.batches.retrieve(batchId);
    return condition(seen) || hasEnded(seen);
  };
  try {
    await until(`batch ${batchId} to ${what}`, isDecided, patience);
  } catch (error) {
    throw new Error(`${(error as Error).message}; last seen: ${JSON.stringify(seen)}`, {
      cause: error,
    });
  }
  if (seen && condition(seen)) return seen;
  throw new Error(`waited for batch ${batchId} to ${what}; it ended: ${JSON.stringify(seen)}`);
}

export async function batchEnd(
  openai: OpenAI,
  batchId: string,
  patience: Patience = { timeoutMs: 300_000, pauseMs: 50 },
): Promise<Batch> {
  return batchThat(openai, batchId, "end", hasEnded, patience);
}
