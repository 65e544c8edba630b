// What many cases look at: input lines, files, and one batch in each status, made when first asked for.
import { strict as assert } from "node:assert";
import { ok, shown } from "./checks.ts";
import { type WireBatch, batchSchema } from "./schemas/batch.ts";
import { type WireFile, fileSchema } from "./schemas/file.ts";
import type { ResultLine } from "./schemas/result-line.ts";
import { type Answer, type Target, until } from "./target.ts";

export const CHAT = "/v1/chat/completions";
export const DAY_SECONDS = 86_400;

/** One line of an input file; `more` replaces its members. */
export function chatLine(
  { model }: Target,
  customId: string,
  prompt: string,
  more: object = {},
): object {
  const messages = [{ role: "user", content: prompt }];
  const body = { model, messages, max_tokens: 4 };
  return { custom_id: customId, method: "POST", url: CHAT, body, ...more };
}

/** A line that any model refuses: its messages are no list. */
export function refusedLine({ model }: Target, customId: string): object {
  const body = { model, messages: "not a list" };
  return { custom_id: customId, method: "POST", url: CHAT, body };
}

export function jsonl(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** A form with a file, and the fields that go with it. */
export function fileForm(
  content: string | Uint8Array<ArrayBuffer>,
  { filename = "input.jsonl", ...fields }: Record<string, string> = {},
): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries({ purpose: "batch", ...fields })) {
    form.append(name, value);
  }
  form.append("file", new Blob([content]), filename);
  return form;
}

export function sendFile(
  target: Target,
  content: string | Uint8Array<ArrayBuffer>,
  fields: Record<string, string> = {},
): Promise<Answer> {
  return target.send("/files", { method: "POST", body: fileForm(content, fields) });
}

export async function upload(
  target: Target,
  content: string | Uint8Array<ArrayBuffer>,
  fields: Record<string, string> = {},
): Promise<WireFile> {
  return ok(await sendFile(target, content, fields), fileSchema);
}

/** A batch input that several cases may name, of two good lines. */
export function sharedInput(target: Target): Promise<WireFile> {
  return target.once("shared input", () =>
    upload(target, jsonl([chatLine(target, "a", "Say A."), chatLine(target, "b", "Say B.")])),
  );
}

export async function newBatch(target: Target): Promise<Record<string, unknown>> {
  const { id } = await sharedInput(target);
  return { input_file_id: id, endpoint: CHAT, completion_window: "24h" };
}

/** A batch of these lines, or of this text. */
export async function createBatch(
  target: Target,
  lines: readonly object[] | string,
  more: object = {},
): Promise<WireBatch> {
  const { id } = await upload(target, typeof lines === "string" ? lines : jsonl(lines));
  const request = { input_file_id: id, endpoint: CHAT, completion_window: "24h", ...more };
  return ok(await target.post("/batches", request), batchSchema);
}

export async function retrieve(target: Target, id: string): Promise<WireBatch> {
  return ok(await target.send(`/batches/${id}`), batchSchema);
}

const ENDED = ["completed", "failed", "expired", "cancelled"];

/** Waits until the batch has this status. Throws when it ends otherwise. */
export async function untilStatus(target: Target, id: string, status: string): Promise<WireBatch> {
  const seen = await until(
    `batch ${id} to be ${status}`,
    async () => {
      const batch = await retrieve(target, id);
      return batch.status === status || ENDED.includes(batch.status) ? batch : undefined;
    },
    { timeoutMs: target.patienceMs },
  );
  assert.equal(seen.status, status, `batch ${id}: ${JSON.stringify(seen)}`);
  return seen;
}

export async function ended(target: Target, id: string): Promise<WireBatch> {
  return until(
    `batch ${id} to end`,
    async () => {
      const batch = await retrieve(target, id);
      return ENDED.includes(batch.status) ? batch : undefined;
    },
    { timeoutMs: target.patienceMs },
  );
}

export function cancel(target: Target, id: string): Promise<Answer> {
  return target.send(`/batches/${id}/cancel`, { method: "POST" });
}

export async function contentOf(target: Target, fileId: string): Promise<string> {
  const answer = await target.send(`/files/${fileId}/content`);
  assert.equal(answer.status, 200, shown(answer));
  return answer.text;
}

/** The lines of an output or error file; none when there is no file. */
export async function results(target: Target, fileId: string | null): Promise<ResultLine[]> {
  if (fileId === null) return [];
  const lines = (await contentOf(target, fileId)).split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as ResultLine);
}

export const completedMetadata = { team: "support", "a b": "ü" };

/** A batch that has ended: `good-1` and `good-2` were answered, `bad` was refused by the model. */
export function completedBatch(target: Target): Promise<WireBatch> {
  return target.once("completed", async () => {
    const lines = [
      chatLine(target, "good-1", "Say one."),
      refusedLine(target, "bad"),
      chatLine(target, "good-2", "Say two."),
    ];
    const { id } = await createBatch(target, lines, { metadata: completedMetadata });
    return untilStatus(target, id, "completed");
  });
}

/** A batch whose second line is not JSON. */
export function failedBatch(target: Target): Promise<WireBatch> {
  return target.once("failed", async () => {
    const { id } = await createBatch(target, `${jsonl([chatLine(target, "a", "Hi")])}no json\n`);
    return untilStatus(target, id, "failed");
  });
}

/** A batch whose line `done` is answered and whose line `hangs` is not, for minutes. Needs the simulator. */
export async function runningBatch(target: Target, more: object = {}): Promise<WireBatch> {
  const lines = [
    chatLine(target, "done", "Say done."),
    chatLine(target, "hangs", "[simulate: hang]"),
  ];
  const { id } = await createBatch(target, lines, more);
  return until(`batch ${id} to have one answer`, async () => {
    const batch = await retrieve(target, id);
    return batch.request_counts.completed === 1 ? batch : undefined;
  });
}

/** A batch that keeps running. Needs the simulator. */
export function sharedRunningBatch(target: Target): Promise<WireBatch> {
  return target.once("running", () => runningBatch(target));
}

/** A batch that was cancelled while it ran. Needs the simulator. */
export function cancelledBatch(target: Target): Promise<WireBatch> {
  return target.once("cancelled", async () => {
    const { id } = await runningBatch(target);
    ok(await cancel(target, id), batchSchema);
    return untilStatus(target, id, "cancelled");
  });
}

/** A batch whose window of a minute ended while it ran; of the project `short-window`. Needs the simulator. */
export function expiredBatch(target: Target): Promise<WireBatch> {
  return target.once("expired", async () => {
    const { id } = await runningBatch(target, { completion_window: "1m" });
    return untilStatus(target, id, "expired");
  });
}

/** A batch of the server `unreachable-upstream`, which stays `validating`. */
export function validatingBatch(target: Target): Promise<WireBatch> {
  return target.once("validating", () => createBatch(target, [chatLine(target, "a", "Hi")]));
}
