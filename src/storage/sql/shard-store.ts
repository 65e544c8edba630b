// Shards and their journals in SQL. Every write of an owner is conditional on its epoch.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import { ConflictError, LeaseLostError, NotFoundError } from "../../core/store.ts";
import type { ShardClaim, ShardProgress, ShardStore } from "../../core/store.ts";
import { showModel } from "./batch-labels.ts";
import { changeStatus } from "./batch-status.ts";
import { figuresFromElement, toColumns } from "./figures.ts";
import { givenBack, isClaimed, isFree, leaseEnd, taken } from "./lease.ts";
import type { BatchRow } from "./schema.ts";
import { numberOf, textOf } from "./sql-database.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

export function shardStore(database: SqlDatabase): ShardStore {
  return {
    claim: (batchId, { models, owner, leaseMs, limit }) =>
      database.write(async (tx) => {
        // Locked, so that nothing ends the batch before its shards show that they are taken.
        const batch = await findBatch(tx, batchId);
        if (batch?.status !== "in_progress" || batch.ending !== null) return [];
        const ofModels = database.isOneOf("shards.model", models);
        return claimShards(database, tx, batch, { owner, leaseMs, limit, condition: ofModels });
      }),

    claimUnfinished: (batchId, owner, leaseMs) =>
      database.write(async (tx) => {
        const batch = await findBatch(tx, batchId);
        if (batch === undefined) return [];
        const any = sql<boolean>`true`;
        const limit = batch.open_shards;
        return claimShards(database, tx, batch, { owner, leaseMs, limit, condition: any });
      }),

    olderJournals: (shardId) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("journals")
          .innerJoin("shards", "shards.id", "journals.shard_id")
          .select(["journals.epoch", "journals.accepted_bytes"])
          .where("journals.shard_id", "=", shardId)
          .whereRef("journals.epoch", "<", "shards.epoch")
          .orderBy("journals.epoch")
          .execute();
        return rows.map((row) => ({ epoch: row.epoch, acceptedBytes: row.accepted_bytes }));
      }),

    seal: (shardId, epoch, journalEpoch, acceptedBytes) =>
      database.write(async (tx) => {
        const shard = await tx
          .selectFrom("shards")
          .select("id")
          .where("id", "=", shardId)
          .where(isClaimed("shards", epoch))
          .forNoKeyUpdate()
          .executeTakeFirst();
        if (shard === undefined) throw shardLost(shardId, epoch);
        const journal = await tx
          .selectFrom("journals")
          .select("accepted_bytes")
          .where("shard_id", "=", shardId)
          .where("epoch", "=", journalEpoch)
          .where("epoch", "<", epoch)
          .executeTakeFirst();
        if (journal === undefined) {
          throw new NotFoundError(
            `Shard ${shardId} has no journal of epoch ${journalEpoch} before epoch ${epoch}.`,
          );
        }
        if (journal.accepted_bytes === null) {
          await sealJournal(tx, shardId, journalEpoch, acceptedBytes);
        } else if (journal.accepted_bytes !== acceptedBytes) {
          throw new ConflictError(
            `Journal ${journalEpoch} of shard ${shardId} is sealed at ${journal.accepted_bytes} ` +
              `bytes; it cannot be sealed at ${acceptedBytes}.`,
          );
        }
      }),

    renew: (owner, leaseMs, shards) =>
      database.repeatable(async (tx) => {
        const elements = shards.map(({ shardId, epoch, progress }) => ({
          shardId,
          epoch,
          ...toColumns(progress),
        }));
        const renewed = await tx
          .updateTable("shards")
          .from(database.elements(elements))
          .set({ ...figuresFromElement(), lease_expires_at: leaseEnd(database, leaseMs) })
          .where("shards.id", "=", textOf("shardId"))
          .where(isClaimed("shards", numberOf("epoch")))
          .where("shards.lease_owner", "=", owner)
          .returning("shards.id")
          .execute();
        const kept = new Set(renewed.map((row) => row.id));
        return shards.map((shard) => shard.shardId).filter((id) => !kept.has(id));
      }),

    release: (shardId, epoch, acceptedBytes, progress) =>
      database.write(async (tx) => {
        await giveBack(tx, shardId, epoch, { acceptedBytes, progress, done: 0 });
      }),

    finish: (shardId, epoch, acceptedBytes, progress, at) =>
      database.write(async (tx) => {
        const batch = await giveBack(tx, shardId, epoch, { acceptedBytes, progress, done: 1 });
        const batchSettled =
          batch.open_shards === 0 && batch.status === "in_progress" && batch.ending === null;
        if (batchSettled) {
          const settled = { ending: "completed" as const, waiting_reason: null };
          await changeStatus(tx, batch, "finalizing", at, settled);
        }
        return { batchSettled };
      }),

    journals: (batchId) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("shards")
          .innerJoin("journals", "journals.shard_id", "shards.id")
          .select(["journals.shard_id", "journals.epoch", "journals.accepted_bytes"])
          .where("shards.batch_id", "=", batchId)
          .orderBy("shards.first_entry")
          .orderBy("journals.epoch")
          .execute();
        return rows.map((row) => ({
          shardId: row.shard_id,
          epoch: row.epoch,
          acceptedBytes: row.accepted_bytes,
        }));
      }),
  };
}

function findBatch(tx: Tx, batchId: string): Promise<BatchRow | undefined> {
  return tx
    .selectFrom("batches")
    .selectAll()
    .where("id", "=", batchId)
    .forShare()
    .executeTakeFirst();
}

async function claimShards(
  database: SqlDatabase,
  tx: Tx,
  batch: BatchRow,
  query: { owner: string; leaseMs: number; limit: number; condition: RawBuilder<boolean> },
): Promise<ShardClaim[]> {
  const rows = await tx
    // Once: a subquery that locks rows might be run for each row.
    .with("free", (select) =>
      select
        .selectFrom("shards")
        .select("id")
        .where("batch_id", "=", batch.id)
        .where("done", "=", 0)
        .where(isFree(database, "shards"))
        .where(query.condition)
        .orderBy("first_entry")
        .limit(query.limit)
        .forNoKeyUpdate()
        .skipLocked(),
    )
    .updateTable("shards")
    .set(taken(database, query.owner, query.leaseMs))
    .where("id", "in", (select) => select.selectFrom("free").select("id"))
    .returning(["id", "model", "requested_model", "first_entry", "entry_count", "epoch"])
    .execute();
  if (rows.length === 0) return [];
  await tx
    .insertInto("journals")
    .columns(["shard_id", "epoch"])
    .expression(
      tx
        .selectFrom(database.elements(rows.map(({ id, epoch }) => ({ id, epoch }))))
        .select([textOf("id").as("shard_id"), numberOf("epoch").as("epoch")]),
    )
    .execute();
  return rows
    .toSorted((a, b) => a.first_entry - b.first_entry)
    .map((row) => ({
      shardId: row.id,
      batchId: batch.id,
      projectId: batch.project_id,
      endpoint: batch.endpoint,
      expiresAt: batch.expires_at,
      inputFileId: batch.input_file_id,
      planKey: batch.plan_key!,
      model: row.model,
      requestedModel: row.requested_model,
      firstEntry: row.first_entry,
      entryCount: row.entry_count,
      epoch: row.epoch,
    }));
}

/** Ends the claim of a shard: progress, seal of its journal, and what follows for the batch, which it answers. */
async function giveBack(
  tx: Tx,
  shardId: string,
  epoch: number,
  outcome: { acceptedBytes: number; progress: ShardProgress; done: 0 | 1 },
): Promise<BatchRow> {
  const { acceptedBytes, progress, done } = outcome;
  const shard = await tx
    .updateTable("shards")
    .set({ ...givenBack, ...toColumns(progress), done })
    .where("id", "=", shardId)
    .where(isClaimed("shards", epoch))
    .returning("batch_id")
    .executeTakeFirst();
  if (shard === undefined) throw shardLost(shardId, epoch);
  await sealJournal(tx, shardId, epoch, acceptedBytes);
  const batch = await tx
    .updateTable("batches")
    .set({ open_shards: sql<number>`open_shards - ${done}` })
    .where("id", "=", shard.batch_id)
    .returningAll()
    .executeTakeFirstOrThrow();
  if (progress.answeredModel !== null) await showModel(tx, batch, progress.answeredModel);
  return batch;
}

async function sealJournal(
  tx: Tx,
  shardId: string,
  epoch: number,
  acceptedBytes: number,
): Promise<void> {
  await tx
    .updateTable("journals")
    .set({ accepted_bytes: acceptedBytes })
    .where("shard_id", "=", shardId)
    .where("epoch", "=", epoch)
    .execute();
}

function shardLost(shardId: string, epoch: number): LeaseLostError {
  return new LeaseLostError(`Epoch ${epoch} is not the claim of shard ${shardId} any more.`);
}
