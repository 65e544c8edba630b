// Leases of batches and shards: one set of rules for both. A claim is named by its epoch. It lasts
// until it is given back or another owner takes it; it can be taken once its lease is over.

import { sql } from "kysely";
import type { Expression, RawBuilder } from "kysely";
import type { SqlDatabase } from "./sql-database.ts";

type LeasedTable = "batches" | "shards";

/** Nobody owns it, or the owner's lease is over. */
export function isFree(database: SqlDatabase, table: LeasedTable): RawBuilder<boolean> {
  const leaseExpiresAt = sql.ref(`${table}.lease_expires_at`);
  return sql`(${leaseExpiresAt} is null or ${leaseExpiresAt} <= ${database.now()})`;
}

/** The claim of that epoch still exists. */
export function isClaimed(
  table: LeasedTable,
  epoch: number | Expression<number>,
): RawBuilder<boolean> {
  const owner = sql.ref(`${table}.lease_owner`);
  return sql`(${sql.ref(`${table}.epoch`)} = ${epoch} and ${owner} is not null)`;
}

export function leaseEnd(database: SqlDatabase, leaseMs: number): RawBuilder<number> {
  return sql<number>`${database.now()} + ${leaseMs}`;
}

/** The columns of something that is being taken. */
export function taken(database: SqlDatabase, owner: string, leaseMs: number) {
  return {
    epoch: sql<number>`epoch + 1`,
    lease_owner: owner,
    lease_expires_at: leaseEnd(database, leaseMs),
  };
}

/** The columns of something that nobody owns. */
export const givenBack = { lease_owner: null, lease_expires_at: null };
