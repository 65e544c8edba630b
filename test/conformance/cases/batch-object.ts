// The Batch object: what each of its members says.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has } from "../checks.ts";
import {
  CHAT,
  DAY_SECONDS,
  cancelledBatch,
  completedBatch,
  completedMetadata,
  failedBatch,
  results,
  retrieve,
  sharedRunningBatch,
} from "../samples.ts";
import { type WireBatch, batchSchema } from "../schemas/batch.ts";

/** A case that looks at the batch that completed. */
function completed(row: string, name: string, look: (batch: WireBatch) => void): Case {
  return { row, name, run: async (target) => look(await completedBatch(target)) };
}

/** A case that looks at the batch that failed. */
function failed(row: string, name: string, look: (batch: WireBatch) => void): Case {
  return { row, name, run: async (target) => look(await failedBatch(target)) };
}

const zeroUsage = {
  input_tokens: 0,
  output_tokens: 0,
  total_tokens: 0,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens_details: { reasoning_tokens: 0 },
};

/** Each member of the batch's usage, and where an answer of chat has it. */
const usageMembers = [
  {
    row: "batch.usage.input_tokens",
    name: "prompt_tokens of all answers",
    ofBatch: ({ usage }: WireBatch) => usage.input_tokens,
    ofAnswer: (usage: ChatUsage) => usage.prompt_tokens,
  },
  {
    row: "batch.usage.output_tokens",
    name: "completion_tokens of all answers",
    ofBatch: ({ usage }: WireBatch) => usage.output_tokens,
    ofAnswer: (usage: ChatUsage) => usage.completion_tokens,
  },
  {
    row: "batch.usage.total_tokens",
    name: "total_tokens of all answers",
    ofBatch: ({ usage }: WireBatch) => usage.total_tokens,
    ofAnswer: (usage: ChatUsage) => usage.total_tokens,
  },
  {
    row: "batch.usage.input_tokens_details.cached_tokens",
    name: "prompt_tokens_details.cached_tokens of all answers, 0 where there are none",
    ofBatch: ({ usage }: WireBatch) => usage.input_tokens_details.cached_tokens,
    ofAnswer: (usage: ChatUsage) => usage.prompt_tokens_details?.cached_tokens ?? 0,
  },
  {
    row: "batch.usage.output_tokens_details.reasoning_tokens",
    name: "completion_tokens_details.reasoning_tokens of all answers, 0 where there are none",
    ofBatch: ({ usage }: WireBatch) => usage.output_tokens_details.reasoning_tokens,
    ofAnswer: (usage: ChatUsage) => usage.completion_tokens_details?.reasoning_tokens ?? 0,
  },
];

interface ChatUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
  completion_tokens_details?: { reasoning_tokens?: number } | null;
}

const usageCases = usageMembers.map(({ row, name, ofBatch, ofAnswer }): Case => {
  return {
    row,
    name,
    async run(target) {
      const batch = await completedBatch(target);
      const lines = await results(target, batch.output_file_id);
      const usages = lines.map(({ response }) => response!.body["usage"] as ChatUsage);
      const sum = usages.map(ofAnswer).reduce((a, b) => a + b, 0);
      assert.equal(ofBatch(batch), sum);
    },
  };
});

export const batchObjectCases: readonly Case[] = [
  {
    row: "batch",
    name: "all 22 members are there in their order in every answer, null when unset",
    async run(target) {
      const { id } = await failedBatch(target);
      const names = Object.keys(batchSchema.properties!);
      assert.equal(names.length, 22);
      const page = await target.send("/batches?limit=1");
      const bodies = [
        (await target.send(`/batches/${id}`)).json,
        ...(page.json as { data: object[] }).data,
      ];
      for (const body of bodies) assert.deepEqual(Object.keys(body as object), names);
    },
  },
  completed(
    "batch.id",
    "batch_ and 32 hex digits, of which 8 are the time of creation",
    (batch) => {
      assert.match(batch.id, /^batch_[0-9a-f]{32}$/);
      assert.equal(Number.parseInt(batch.id.slice(6, 14), 16), batch.created_at);
    },
  ),
  completed("batch.object", 'always "batch"', (batch) => has(batch, { object: "batch" })),
  completed("batch.endpoint", "as it was sent", (batch) => has(batch, { endpoint: CHAT })),
  {
    row: "batch.model",
    name: "the model that answered, when there was one",
    async run(target) {
      const { model } = await completedBatch(target);
      assert.ok(model?.includes(target.model) || target.model.includes(model!), String(model));
      assert.equal((await failedBatch(target)).model, null);
    },
  },
  {
    row: "batch.errors",
    name: "null unless the batch failed, then a list with at least one entry",
    async run(target) {
      assert.equal((await completedBatch(target)).errors, null);
      const { errors } = await failedBatch(target);
      assert.equal(errors?.object, "list");
      assert.ok(errors.data.length > 0);
    },
  },
  failed("batch.errors.object", 'always "list"', ({ errors }) =>
    assert.equal(errors?.object, "list"),
  ),
  failed("batch.errors.data", "entries with four members, always, in their order", ({ errors }) => {
    for (const entry of errors!.data) {
      assert.deepEqual(Object.keys(entry), ["code", "message", "param", "line"]);
    }
  }),
  failed("batch.errors.code", "a word for programs", ({ errors }) =>
    assert.equal(errors?.data[0]?.code, "invalid_json_line"),
  ),
  failed("batch.errors.message", "a sentence for people", ({ errors }) =>
    assert.match(errors?.data[0]?.message ?? "", / .*\.$/),
  ),
  failed("batch.errors.param", "null when no member is to blame", ({ errors }) =>
    assert.equal(errors?.data[0]?.param, null),
  ),
  failed("batch.errors.line", "counted from 1", ({ errors }) =>
    assert.equal(errors?.data[0]?.line, 2),
  ),
  {
    row: "batch.input_file_id",
    name: "as it was sent, a file that can be read",
    async run(target) {
      const { input_file_id: id } = await completedBatch(target);
      assert.equal((await target.send(`/files/${id}`)).status, 200);
    },
  },
  completed("batch.completion_window", "as it was sent", (batch) =>
    has(batch, { completion_window: "24h" }),
  ),
  {
    row: "batch.status",
    name: "says what became of it",
    async run(target) {
      assert.equal((await completedBatch(target)).status, "completed");
      assert.equal((await failedBatch(target)).status, "failed");
    },
  },
  completed("batch.output_file_id", "an id when a line succeeded", (batch) =>
    assert.match(batch.output_file_id ?? "null", /^file-/),
  ),
  completed("batch.error_file_id", "an id when a line did not", (batch) =>
    assert.match(batch.error_file_id ?? "null", /^file-/),
  ),
  completed("batch.created_at", "whole seconds, now", ({ created_at: at }) => {
    assert.ok(Number.isInteger(at));
    const age = Date.now() / 1_000 - at;
    assert.ok(age > -60 && age < 2 * DAY_SECONDS, `${at} is ${age} s ago`);
  }),
  completed("batch.in_progress_at", "when its lines began to be sent", (batch) =>
    assert.ok(batch.in_progress_at! >= batch.created_at),
  ),
  {
    row: "batch.expires_at",
    name: "the end of the window, from the creation on, in every status",
    async run(target) {
      for (const batch of [await completedBatch(target), await failedBatch(target)]) {
        assert.equal(batch.expires_at, batch.created_at + DAY_SECONDS);
      }
    },
  },
  completed("batch.finalizing_at", "when the last line was done", (batch) =>
    assert.ok(batch.finalizing_at! >= batch.in_progress_at!),
  ),
  completed("batch.completed_at", "when the files were there", (batch) =>
    assert.ok(batch.completed_at! >= batch.finalizing_at!),
  ),
  {
    row: "batch.failed_at",
    name: "when validation refused it",
    async run(target) {
      const batch = await failedBatch(target);
      assert.ok(batch.failed_at! >= batch.created_at);
      assert.equal((await completedBatch(target)).failed_at, null);
    },
  },
  completed("batch.expired_at", "null unless it expired", (batch) =>
    has(batch, { expired_at: null }),
  ),
  {
    row: "batch.cancelling_at",
    name: "when the cancel came; it stays",
    needs: ["simulator"],
    async run(target) {
      const batch = await cancelledBatch(target);
      assert.ok(batch.cancelling_at! >= batch.in_progress_at!);
    },
  },
  {
    row: "batch.cancelled_at",
    name: "when it was carried out",
    needs: ["simulator"],
    async run(target) {
      const batch = await cancelledBatch(target);
      assert.ok(batch.cancelled_at! >= batch.cancelling_at!);
    },
  },
  completed("batch.request_counts.total", "all lines", (batch) =>
    assert.equal(batch.request_counts.total, 3),
  ),
  completed("batch.request_counts.completed", "lines in the output file", (batch) =>
    assert.equal(batch.request_counts.completed, 2),
  ),
  completed("batch.request_counts.failed", "lines that were run and failed", (batch) =>
    assert.equal(batch.request_counts.failed, 1),
  ),
  {
    row: "batch.request_counts",
    name: "counts grow while it runs",
    needs: ["simulator"],
    async run(target) {
      const running = await sharedRunningBatch(target);
      assert.deepEqual(running.request_counts, { total: 2, completed: 1, failed: 0 });
    },
  },
  completed("batch.usage", "there once it has ended, and adds up", ({ usage }) => {
    assert.ok(usage.input_tokens > 0 && usage.output_tokens > 0, JSON.stringify(usage));
    assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
  }),
  ...usageCases,
  {
    row: "batch.usage.before-the-end",
    name: "zeros on a batch of which nothing was run",
    async run(target) {
      assert.deepEqual((await failedBatch(target)).usage, zeroUsage);
    },
  },
  {
    row: "batch.usage.before-the-end",
    name: "it moves with the counts while the batch runs",
    needs: ["offpeak", "simulator"],
    async run(target) {
      const { usage } = await sharedRunningBatch(target);
      assert.ok(usage.total_tokens > 0, JSON.stringify(usage));
    },
  },
  completed("batch.metadata", "as it was sent", ({ metadata }) =>
    assert.deepEqual(metadata, completedMetadata),
  ),
  {
    row: "batch.metadata",
    name: "null when there was none",
    async run(target) {
      const { id } = await failedBatch(target);
      assert.equal((await retrieve(target, id)).metadata, null);
    },
  },
];
