// The eight statuses, what is set in each, and what becomes of the lines.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok } from "../checks.ts";
import {
  cancel,
  cancelledBatch,
  chatLine,
  completedBatch,
  createBatch,
  ended,
  expiredBatch,
  failedBatch,
  jsonl,
  refusedLine,
  results,
  runningBatch,
  sharedRunningBatch,
  untilStatus,
  upload,
  validatingBatch,
} from "../samples.ts";
import { type WireBatch, batchSchema } from "../schemas/batch.ts";
import { type Target, until } from "../target.ts";

const timeNames = [
  "in_progress_at",
  "finalizing_at",
  "completed_at",
  "failed_at",
  "expired_at",
  "cancelling_at",
  "cancelled_at",
] as const;

/** Of the times but created_at and expires_at, exactly these are set. */
function checkTimes(batch: WireBatch, expected: readonly string[]): void {
  const set = timeNames.filter((name) => batch[name] !== null);
  assert.deepEqual(set, expected, `the times of ${JSON.stringify(batch)}`);
}

/** As a batch is until it ends: without files, and without errors. */
function checkNothingYet(batch: WireBatch): void {
  has(batch, { output_file_id: null, error_file_id: null, errors: null });
}

function customIds(lines: readonly { custom_id: string }[]): string[] {
  return lines.map((line) => line.custom_id);
}

/** The custom_ids of the output file and of the error file. */
async function filesOf(target: Target, batch: WireBatch): Promise<[string[], string[]]> {
  const output = await results(target, batch.output_file_id);
  const errors = await results(target, batch.error_file_id);
  return [customIds(output), customIds(errors)];
}

export const lifecycleCases: readonly Case[] = [
  {
    row: "status.validating",
    name: "nothing is set, nothing is counted",
    needs: ["unreachable-upstream"],
    async run(target) {
      const batch = await validatingBatch(target.with("unreachable-upstream"));
      assert.equal(batch.status, "validating");
      checkTimes(batch, []);
      checkNothingYet(batch);
      assert.deepEqual(batch.request_counts, { total: 0, completed: 0, failed: 0 });
    },
  },
  {
    row: "status.failed",
    name: "failed_at and errors are set; there are no counts and no files",
    async run(target) {
      const batch = await failedBatch(target);
      checkTimes(batch, ["failed_at"]);
      has(batch, { output_file_id: null, error_file_id: null });
      assert.deepEqual(batch.request_counts, { total: 0, completed: 0, failed: 0 });
    },
  },
  {
    row: "status.in_progress",
    name: "in_progress_at is set, the total is known, there are no files yet",
    needs: ["simulator"],
    async run(target) {
      const batch = await sharedRunningBatch(target);
      assert.equal(batch.status, "in_progress");
      checkTimes(batch, ["in_progress_at"]);
      checkNothingYet(batch);
      assert.equal(batch.request_counts.total, 2);
    },
  },
  {
    row: "status.finalizing",
    name: "finalizing_at is set and no file is there yet (looked for in up to ten batches: the moment is short)",
    async run(target) {
      const lines = Array.from({ length: 400 }, (_, n) => chatLine(target, `${n}`, `Say ${n}.`));
      for (let tried = 0; tried < 10; tried += 1) {
        const { id } = await createBatch(target, lines);
        const batch = await until(
          `batch ${id} to be finalizing`,
          async () => {
            const answer = await target.send(`/batches/${id}`);
            const seen = ok(answer, batchSchema);
            return ["finalizing", "completed"].includes(seen.status) ? seen : undefined;
          },
          { timeoutMs: target.patienceMs, pauseMs: 1 },
        );
        if (batch.status === "completed") continue;
        checkTimes(batch, ["in_progress_at", "finalizing_at"]);
        checkNothingYet(batch);
        assert.deepEqual(batch.request_counts, { total: 400, completed: 400, failed: 0 });
        return;
      }
      // Never seen; that it was there can still be read off a completed batch.
      checkTimes(await completedBatch(target), ["in_progress_at", "finalizing_at", "completed_at"]);
    },
  },
  {
    row: "status.completed",
    name: "all times of the way are set, and completed and failed lines are all lines",
    async run(target) {
      const batch = await completedBatch(target);
      checkTimes(batch, ["in_progress_at", "finalizing_at", "completed_at"]);
      const { total, completed, failed } = batch.request_counts;
      assert.equal(completed + failed, total);
      assert.equal(batch.errors, null);
    },
  },
  {
    row: "status.cancelling",
    name: "cancelling_at is added to what was set; there are no files yet",
    needs: ["simulator"],
    async run(target) {
      const { id } = await runningBatch(target);
      const batch = ok(await cancel(target, id), batchSchema);
      assert.equal(batch.status, "cancelling");
      checkTimes(batch, ["in_progress_at", "cancelling_at"]);
      checkNothingYet(batch);
    },
  },
  {
    row: "status.cancelled",
    name: "cancelled_at is added; lines that were not run are not counted as failed",
    needs: ["simulator"],
    async run(target) {
      const batch = await cancelledBatch(target);
      assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 0 });
      assert.equal(batch.errors, null);
      const { cancelling_at: asked, cancelled_at: done } = batch;
      assert.ok(asked !== null && done !== null && done >= asked);
    },
  },
  {
    row: "status.expired",
    name: "expired_at is set; lines that were not run are not counted as failed",
    needs: ["short-window", "simulator"],
    async run(target) {
      const batch = await expiredBatch(target.with("short-window"));
      assert.ok(batch.expired_at! >= batch.expires_at!);
      assert.deepEqual(batch.request_counts, { total: 2, completed: 1, failed: 0 });
      assert.equal(batch.errors, null);
    },
  },
  {
    row: "status.finalizing-at-of-others",
    name: "a cancelled and an expired batch have no finalizing_at",
    needs: ["offpeak", "short-window", "simulator"],
    async run(target) {
      checkTimes(await cancelledBatch(target), ["in_progress_at", "cancelling_at", "cancelled_at"]);
      const expired = await expiredBatch(target.with("short-window"));
      checkTimes(expired, ["in_progress_at", "expired_at"]);
    },
  },
  {
    row: "lifecycle.all-lines-failed",
    name: "a batch of which every line failed is completed, without an output file",
    async run(target) {
      const { id } = await createBatch(target, [
        refusedLine(target, "a"),
        refusedLine(target, "b"),
      ]);
      const batch = await untilStatus(target, id, "completed");
      assert.equal(batch.output_file_id, null);
      assert.deepEqual(batch.request_counts, { total: 2, completed: 0, failed: 2 });
      assert.deepEqual(await filesOf(target, batch), [[], ["a", "b"]]);
    },
  },
  {
    row: "lifecycle.no-line-failed",
    name: "a batch of which no line failed has no error file",
    async run(target) {
      const { id } = await createBatch(target, [chatLine(target, "a", "Say hi.")]);
      const batch = await untilStatus(target, id, "completed");
      assert.equal(batch.error_file_id, null);
      assert.deepEqual(await filesOf(target, batch), [["a"], []]);
    },
  },
  {
    row: "lifecycle.each-line-once",
    name: "every line is in exactly one of the two files, once",
    async run(target) {
      const [output, errors] = await filesOf(target, await completedBatch(target));
      assert.deepEqual([output.toSorted(), errors], [["good-1", "good-2"], ["bad"]]);
    },
  },
  {
    row: "lifecycle.cancelled-files",
    name: "a cancelled batch gives what is done, and the rest as batch_cancelled",
    needs: ["simulator"],
    async run(target) {
      assert.deepEqual(await filesOf(target, await cancelledBatch(target)), [["done"], ["hangs"]]);
    },
  },
  {
    row: "lifecycle.expired-files",
    name: "an expired batch gives what is done, and the rest as batch_expired",
    needs: ["short-window", "simulator"],
    async run(target) {
      const project = target.with("short-window");
      assert.deepEqual(await filesOf(project, await expiredBatch(project)), [["done"], ["hangs"]]);
    },
  },
  {
    row: "lifecycle.cancel-time",
    name: "a cancelled batch has ended within seconds",
    needs: ["offpeak", "simulator"],
    async run(target) {
      const { cancelling_at: asked, cancelled_at: done } = await cancelledBatch(target);
      assert.ok(done! - asked! <= 15, `${done! - asked!} s`);
    },
  },
  {
    row: "lifecycle.input-deleted-later",
    name: "a batch that runs goes on when its input file is deleted",
    needs: ["simulator"],
    async run(target) {
      const lines = [chatLine(target, "slow", "[simulate: 500 x2] Say hi.")];
      const { id: fileId } = await upload(target, jsonl(lines));
      const request = { input_file_id: fileId, endpoint: "/v1/chat/completions" };
      const answer = await target.post("/batches", { ...request, completion_window: "24h" });
      const { id } = ok(answer, batchSchema);
      await until("the batch to run", async () => {
        const { json } = await target.send(`/batches/${id}`);
        return (json as WireBatch).in_progress_at ?? undefined;
      });
      await target.send(`/files/${fileId}`, { method: "DELETE" });
      assert.equal((await ended(target, id)).status, "completed");
    },
  },
];
