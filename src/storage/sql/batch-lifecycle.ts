// What happens to a batch between its creation and its end, each step in one transaction.

import { sql } from "kysely";
import { cancellableStatuses } from "../../core/batch.ts";
import { ConflictError } from "../../core/store.ts";
import type { BatchStore, NewShard } from "../../core/store.ts";
import { claimedBatch } from "./batch-claims.ts";
import { insertMetadata, insertModelNames } from "./batch-labels.ts";
import { requireQueueRoom, requireTurnInHour } from "./batch-limits.ts";
import { toNewRow, toOneBatch } from "./batch-record.ts";
import { changeStatus, count } from "./batch-status.ts";
import { isOverdue } from "./batch-work.ts";
import { toColumns } from "./figures.ts";
import { insertFile } from "./file-store.ts";
import { noteObject } from "./idempotency-store.ts";
import { givenBack } from "./lease.ts";
import type { BatchRow } from "./schema.ts";
import { ofElement } from "./sql-database.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

type BatchLifecycle = Pick<
  BatchStore,
  | "insert"
  | "requestCancel"
  | "startPlanning"
  | "finishPlanning"
  | "failValidation"
  | "expireDue"
  | "finish"
  | "markSwept"
>;

export function batchLifecycle(database: SqlDatabase): BatchLifecycle {
  return {
    insert: (batch, { maxPerHour = null, idempotent } = {}) =>
      database.write(async (tx) => {
        if (idempotent !== undefined) await noteObject(tx, idempotent, batch);
        if (maxPerHour !== null) await requireTurnInHour(database, tx, batch, maxPerHour);
        const row = await tx
          .insertInto("batches")
          .values(toNewRow(batch))
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) throw new ConflictError(`A batch with the id ${batch.id} exists.`);
        await insertMetadata(tx, row.seq, batch);
        await count(tx, "validating", 1);
        return toOneBatch(database, tx, row);
      }),

    requestCancel: (projectId, id, at) =>
      database.write(async (tx) => {
        const find = () =>
          tx
            .selectFrom("batches")
            .selectAll()
            .where("id", "=", id)
            .where("project_id", "=", projectId)
            .forNoKeyUpdate()
            .executeTakeFirst();
        const found = await find();
        if (found === undefined) return undefined;
        if (!cancellableStatuses.includes(found.status)) return toOneBatch(database, tx, found);
        await changeStatus(tx, found, "cancelling", at, { ending: "cancelled" });
        const cancelled = await find();
        return cancelled && toOneBatch(database, tx, cancelled);
      }),

    startPlanning: (batchId, epoch, at) =>
      database.write(async (tx) => {
        const batch = await claimedBatch(tx, batchId, epoch);
        if (batch.planning_started_at !== null) return;
        await tx
          .updateTable("batches")
          .set({ planning_started_at: at })
          .where("id", "=", batchId)
          .execute();
      }),

    finishPlanning: (batchId, epoch, plan) =>
      database.write(async (tx) => {
        if (plan.shards.length === 0) {
          // It would stay in_progress for ever: only the last shard ends it.
          throw new RangeError(
            `The plan of batch ${batchId} has no shards; it needs at least one.`,
          );
        }
        const batch = await validatingBatch(tx, batchId, epoch);
        await requireQueueRoom(database, tx, batch.project_id, plan);
        await insertShards(database, tx, batch, plan.shards);
        const requested = plan.shards.map((shard) => shard.requestedModel);
        await insertModelNames(tx, batch, requested, plan.model);
        // Last, for all batches share the counts that it changes.
        await changeStatus(tx, batch, "in_progress", plan.at, {
          ...givenBack,
          plan_key: plan.planKey,
          total: plan.total,
          prompt_tokens: plan.promptTokens,
          model: plan.model,
          open_shards: plan.shards.length,
        });
      }),

    failValidation: (batchId, epoch, errors, at) =>
      database.write(async (tx) => {
        const batch = await validatingBatch(tx, batchId, epoch);
        await changeStatus(tx, batch, "failed", at, {
          ...givenBack,
          errors: JSON.stringify(errors),
          waiting_reason: null,
        });
      }),

    expireDue: (now) =>
      database.write(async (tx) => {
        const rows = await tx
          .updateTable("batches")
          .set({ ending: "expired" })
          .where(isOverdue(now))
          .returning("id")
          .execute();
        return rows.map((row) => row.id);
      }),

    finish: (batchId, epoch, result) =>
      database.write(async (tx) => {
        const batch = await claimedBatch(tx, batchId, epoch);
        for (const file of [result.outputFile, result.errorFile]) {
          if (file !== null) await insertFile(tx, file);
        }
        // Each ending leads to the status of its name, and from one status only: so a cancel that came
        // in between is a conflict.
        await changeStatus(tx, batch, result.ending, result.at, {
          ...givenBack,
          ...toColumns({ ...result.counts, usage: result.usage }),
          total: result.counts.total,
          output_file_id: result.outputFile?.id ?? null,
          error_file_id: result.errorFile?.id ?? null,
          waiting_reason: null,
        });
      }),

    markSwept: (batchId) =>
      database.write(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("batches")
          .set({ swept: 1 })
          .where("id", "=", batchId)
          .where("ended", "=", sql.lit(1))
          .executeTakeFirst();
        if (numUpdatedRows === 0n) return;
        await tx.deleteFrom("shards").where("batch_id", "=", batchId).execute();
        await tx.deleteFrom("batch_models").where("batch_id", "=", batchId).execute();
      }),
  };
}

/** The batch while `epoch` is its claim and it is validating. Throws LeaseLostError or ConflictError. */
async function validatingBatch(tx: Tx, batchId: string, epoch: number): Promise<BatchRow> {
  const batch = await claimedBatch(tx, batchId, epoch);
  if (batch.status !== "validating") {
    throw new ConflictError(`Batch ${batchId} is ${batch.status}, not validating.`);
  }
  return batch;
}

const shardElements = {
  id: "text",
  model: "text",
  requestedModel: "text",
  firstEntry: "number",
  entryCount: "number",
} as const;

async function insertShards(
  database: SqlDatabase,
  tx: Tx,
  batch: BatchRow,
  shards: readonly NewShard[],
): Promise<void> {
  // Short, because it is part of every journal's key; `seq` makes it unique in the database.
  const elements = shards.map((shard, index) => ({ ...shard, id: `${batch.seq}-${index}` }));
  await tx
    .insertInto("shards")
    .columns([
      "id",
      "batch_id",
      "project_id",
      "model",
      "requested_model",
      "first_entry",
      "entry_count",
    ])
    .expression(
      tx
        .selectFrom(database.elements(elements, shardElements))
        .select([
          ofElement<string>("id").as("id"),
          sql.val(batch.id).as("batch_id"),
          sql.val(batch.project_id).as("project_id"),
          ofElement<string>("model").as("model"),
          ofElement<string>("requestedModel").as("requested_model"),
          ofElement<number>("firstEntry").as("first_entry"),
          ofElement<number>("entryCount").as("entry_count"),
        ]),
    )
    .execute();
  const models = [...new Set(shards.map((shard) => shard.model))];
  await tx
    .insertInto("batch_models")
    .values(models.map((model) => ({ batch_id: batch.id, model })))
    .execute();
}
