// Who plans and who assembles a batch.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import { LeaseLostError } from "../../core/store.ts";
import type { BatchClaim, BatchStore } from "../../core/store.ts";
import { toClaimedBatch } from "./batch-record.ts";
import { isOverdue, isToAssemble, isToPlan } from "./batch-work.ts";
import { givenBack, isClaimed, isFree, leaseEnd, taken } from "./lease.ts";
import type { BatchRow } from "./schema.ts";
import { ofElement } from "./sql-database.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

type BatchClaims = Pick<
  BatchStore,
  "findDue" | "claimPlanning" | "claimAssembling" | "renewClaims" | "releaseClaim"
>;

export function batchClaims(database: SqlDatabase): BatchClaims {
  /** Takes the oldest free batch for which `condition` holds. */
  async function claimOldest(
    tx: Tx,
    owner: string,
    leaseMs: number,
    condition: RawBuilder<boolean>,
  ): Promise<BatchClaim | undefined> {
    const row = await tx
      .updateTable("batches")
      .set(taken(database, owner, leaseMs))
      .where("seq", "=", (query) =>
        query
          .selectFrom("batches")
          .select("seq")
          .where(condition)
          .where(isFree(database, "batches"))
          .orderBy("seq")
          .limit(1)
          .forNoKeyUpdate()
          .skipLocked(),
      )
      .returningAll()
      .executeTakeFirst();
    return row && { batch: toClaimedBatch(row), epoch: row.epoch };
  }

  return {
    findDue: (now) =>
      database.read(async (tx) => {
        const isFreeBatch = isFree(database, "batches");
        const exists = (condition: RawBuilder<boolean>) =>
          sql<number>`case when exists (select 1 from batches where ${condition}) then 1 else 0 end`;
        const found = await tx
          .selectNoFrom([
            exists(sql`${isToPlan} and ${isFreeBatch}`).as("toPlan"),
            exists(isOverdue(now)).as("toExpire"),
            exists(sql`${isToAssemble} and ${isFreeBatch}`).as("toAssemble"),
          ])
          .executeTakeFirstOrThrow();
        return {
          toPlan: found.toPlan === 1,
          toExpire: found.toExpire === 1,
          toAssemble: found.toAssemble === 1,
        };
      }),

    claimPlanning: (owner, leaseMs, except) =>
      database.write((tx) =>
        claimOldest(
          tx,
          owner,
          leaseMs,
          sql`${isToPlan} and not ${database.isOneOf("batches.id", except)}`,
        ),
      ),

    claimAssembling: (owner, leaseMs) =>
      database.write((tx) =>
        claimOldest(
          tx,
          owner,
          leaseMs,
          sql`${isToAssemble} and not exists (
            select 1 from shards where shards.batch_id = batches.id
            and shards.lease_owner is not null and not ${isFree(database, "shards")})`,
        ),
      ),

    renewClaims: (owner, leaseMs, claims) =>
      database.repeatable(async (tx) => {
        const renewed = await tx
          .updateTable("batches")
          .from(database.elements(claims, { batchId: "text", epoch: "number" }))
          .set({ lease_expires_at: leaseEnd(database, leaseMs) })
          .where("batches.id", "=", ofElement<string>("batchId"))
          .where(isClaimed("batches", ofElement<number>("epoch")))
          .where("batches.lease_owner", "=", owner)
          .returning("batches.id")
          .execute();
        const kept = new Set(renewed.map((row) => row.id));
        return claims.map((claim) => claim.batchId).filter((id) => !kept.has(id));
      }),

    releaseClaim: (batchId, epoch) =>
      database.repeatable(async (tx) => {
        await tx
          .updateTable("batches")
          .set(givenBack)
          .where("id", "=", batchId)
          .where(isClaimed("batches", epoch))
          .execute();
      }),
  };
}

/** The batch while `epoch` is its claim, locked. Throws LeaseLostError. */
export async function claimedBatch(tx: Tx, batchId: string, epoch: number): Promise<BatchRow> {
  const row = await tx
    .selectFrom("batches")
    .selectAll()
    .where("id", "=", batchId)
    .where(isClaimed("batches", epoch))
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (row === undefined) {
    throw new LeaseLostError(`Epoch ${epoch} is not the claim of batch ${batchId} any more.`);
  }
  return row;
}
