// Shards and the seals of their journals in SQL. Every write of an owner is conditional on its epoch.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import type { Ending } from "../../core/batch.ts";
import type { ShardClaim, ShardProgress, ShardStore } from "../../core/shard-store.ts";
import { ConflictError, LeaseLostError, NotFoundError } from "../../core/store.ts";
import { showModel } from "./batch-labels.ts";
import { changeStatus } from "./batch-status.ts";
import { isRunning } from "./batch-work.ts";
import { figureElements, figuresFromElement, toColumns } from "./figures.ts";
import { givenBack, isClaimed, isFree, leaseEnd, taken } from "./lease.ts";
import type { BatchRow, ShardRow } from "./schema.ts";
import { ofElement } from "./sql-database.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

export function shardStore(database: SqlDatabase): ShardStore {
  return {
    claim: (batchId, { models, owner, leaseMs, limit }) =>
      database.repeatable(async (tx) => {
        // Locked, so that nothing ends the batch before its shards show that they are taken.
        // Found by its id alone: without statistics PostgreSQL takes the index of running batches for a small one.
        const running = tx
          .selectFrom("batches")
          .select(sql`case when ${isRunning} then 1 end`.as("is_running"))
          .where("id", "=", batchId)
          .forShare();
        const claimed = await tx
          // Once: a subquery that locks rows might be run for each row.
          .with("free", (select) =>
            select
              .selectFrom("shards")
              .select("id")
              .where("batch_id", "=", batchId)
              .where("done", "=", 0)
              .where(isFree(database, "shards"))
              .where(sql<boolean>`${running} is not null`)
              .where(database.isOneOf("shards.model", models))
              .orderBy("first_entry")
              .limit(limit)
              .forNoKeyUpdate()
              .skipLocked(),
          )
          .updateTable("shards")
          .set(taken(database, owner, leaseMs))
          .where("id", "in", (select) => select.selectFrom("free").select("id"))
          .returning(claimColumns)
          .execute();
        return toClaims(claimed);
      }),

    claimUnfinished: (batchId, owner, leaseMs) =>
      database.repeatable(async (tx) => {
        const claimed = await tx
          .updateTable("shards")
          .set(taken(database, owner, leaseMs))
          .where("batch_id", "=", batchId)
          .where("done", "=", 0)
          .returning(claimColumns)
          .execute();
        return toClaims(claimed);
      }),

    olderJournals: (shardId) =>
      database.read(async (tx) => {
        const journals = await readJournals(tx, sql<boolean>`shards.id = ${shardId}`);
        return journals.slice(0, -1).map(({ epoch, acceptedBytes }) => ({ epoch, acceptedBytes }));
      }),

    seal: (shardId, epoch, journalEpoch, acceptedBytes) =>
      database.write(async (tx) => {
        const shard = await tx
          .selectFrom("shards")
          .select("seals")
          .where("id", "=", shardId)
          .where(isClaimed("shards", epoch))
          .forNoKeyUpdate()
          .executeTakeFirst();
        if (shard === undefined) throw shardLost(shardId, epoch);
        if (journalEpoch < 1 || journalEpoch >= epoch) {
          throw new NotFoundError(
            `Shard ${shardId} has no journal of epoch ${journalEpoch} before epoch ${epoch}.`,
          );
        }
        const sealedAt = readSeals(shard.seals).get(journalEpoch);
        if (sealedAt === undefined) {
          await tx
            .updateTable("shards")
            .set(withSeal(journalEpoch, acceptedBytes))
            .where("id", "=", shardId)
            .execute();
        } else if (sealedAt !== acceptedBytes) {
          throw new ConflictError(
            `Journal ${journalEpoch} of shard ${shardId} is sealed at ${sealedAt} ` +
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
          .from(database.elements(elements, renewalElements))
          .set({ ...figuresFromElement(), lease_expires_at: leaseEnd(database, leaseMs) })
          .where("shards.id", "=", ofElement<string>("shardId"))
          .where(isClaimed("shards", ofElement<number>("epoch")))
          .where("shards.lease_owner", "=", owner)
          .returning((shard) => [
            "shards.id",
            shard
              .selectFrom("batches")
              .select("batches.ending")
              .whereRef("batches.id", "=", "shards.batch_id")
              .as("ending"),
          ])
          .execute();
        const kept = new Map(renewed.map(({ id, ending }) => [id, ending]));
        return {
          lost: shards.map(({ shardId }) => shardId).filter((id) => !kept.has(id)),
          endings: new Map(
            [...kept].filter((entry): entry is [string, Ending] => entry[1] !== null),
          ),
        };
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
      database.read((tx) => readJournals(tx, sql<boolean>`shards.batch_id = ${batchId}`)),
  };
}

const renewalElements = { shardId: "text", epoch: "number", ...figureElements } as const;

const claimColumns = [
  "id",
  "batch_id",
  "model",
  "requested_model",
  "first_entry",
  "entry_count",
  "epoch",
] as const;

/** By range. */
function toClaims(rows: readonly Pick<ShardRow, (typeof claimColumns)[number]>[]): ShardClaim[] {
  return rows
    .toSorted((a, b) => a.first_entry - b.first_entry)
    .map((row) => ({
      shardId: row.id,
      batchId: row.batch_id,
      model: row.model,
      requestedModel: row.requested_model,
      firstEntry: row.first_entry,
      entryCount: row.entry_count,
      epoch: row.epoch,
    }));
}

/** A journal for each epoch that there was, of all these shards, by range and epoch. */
async function readJournals(
  tx: Tx,
  ofShards: RawBuilder<boolean>,
): Promise<{ shardId: string; epoch: number; acceptedBytes: number | null }[]> {
  const rows = await tx
    .selectFrom("shards")
    .select(["id", "epoch", "seals"])
    .where(ofShards)
    .orderBy("first_entry")
    .execute();
  return rows.flatMap(({ id, epoch: last, seals }) => {
    const sealed = readSeals(seals);
    return Array.from({ length: last }, (_, at) => ({
      shardId: id,
      epoch: at + 1,
      acceptedBytes: sealed.get(at + 1) ?? null,
    }));
  });
}

/** By epoch: up to where its journal counts. */
function readSeals(seals: string): Map<number, number> {
  const entries = seals.split(" ").filter((seal) => seal !== "");
  return new Map(
    entries.map((seal) => {
      const [epoch, acceptedBytes] = seal.split(":");
      return [Number(epoch), Number(acceptedBytes)] as const;
    }),
  );
}

/** The column of a shard that gets another seal. */
function withSeal(epoch: number, acceptedBytes: number) {
  return { seals: sql<string>`seals || ${` ${epoch}:${acceptedBytes}`}` };
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
    .set({ ...givenBack, ...toColumns(progress), ...withSeal(epoch, acceptedBytes), done })
    .where("id", "=", shardId)
    .where(isClaimed("shards", epoch))
    .returning("batch_id")
    .executeTakeFirst();
  if (shard === undefined) throw shardLost(shardId, epoch);
  const batch = await tx
    .updateTable("batches")
    .set({ open_shards: sql<number>`open_shards - ${done}` })
    .where("id", "=", shard.batch_id)
    .returningAll()
    .executeTakeFirstOrThrow();
  if (progress.answeredModel !== null) await showModel(tx, batch, progress.answeredModel);
  return batch;
}

function shardLost(shardId: string, epoch: number): LeaseLostError {
  return new LeaseLostError(`Epoch ${epoch} is not the claim of shard ${shardId} any more.`);
}
