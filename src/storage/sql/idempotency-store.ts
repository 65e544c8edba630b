// Idempotency keys in SQL. A key without an object is one under which a request runs.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import { IDEMPOTENCY_KEY_MS, IDEMPOTENCY_RUN_MS } from "../../core/idempotency-store.ts";
import type { IdempotencyStore, IdempotentRequest } from "../../core/idempotency-store.ts";
import { ConflictError } from "../../core/store.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

/** Literal, for the partial index. */
const isRunning = sql<boolean>`idempotency_keys.object_id is null`;

export function idempotencyStore(database: SqlDatabase): IdempotencyStore {
  return {
    begin: (projectId, key, route, now, node = null) =>
      database.write(async (tx) => {
        const begun = {
          route,
          begun_at: now,
          fingerprint: null,
          object_id: null,
          node_id: node,
        };
        // One after the other, so that a key that is held is still there to be looked at.
        await database.lock(tx, `idempotency key ${key} of ${projectId}`);
        const taken = await tx
          .insertInto("idempotency_keys")
          .values({ project_id: projectId, key, ...begun })
          .onConflict((conflict) =>
            conflict.columns(["project_id", "key"]).doUpdateSet(begun).where(isOver(database, now)),
          )
          .returning("key")
          .executeTakeFirst();
        if (taken !== undefined) return { kind: "begun" };
        const held = await tx
          .selectFrom("idempotency_keys")
          .selectAll()
          .where("project_id", "=", projectId)
          .where("key", "=", key)
          .executeTakeFirstOrThrow();
        if (held.object_id === null) return { kind: "running" };
        return {
          kind: "done",
          route: held.route,
          fingerprint: held.fingerprint!,
          objectId: held.object_id,
        };
      }),

    abandon: (projectId, key, node = null) =>
      database.write(async (tx) => {
        await database.lock(tx, `idempotency key ${key} of ${projectId}`);
        await tx
          .deleteFrom("idempotency_keys")
          .where("project_id", "=", projectId)
          .where("key", "=", key)
          .where(isRunning)
          .where("node_id", "is not distinct from", node)
          .execute();
      }),

    sweep: (now) =>
      database.repeatable(async (tx) => {
        await tx.deleteFrom("idempotency_keys").where(isOver(database, now)).execute();
      }),
  };
}

/**
 * Notes, in the transaction that makes it, what the request under the key made. Throws ConflictError
 * when the key was not running at its creation.
 */
export async function noteObject(
  tx: Tx,
  { projectId, key, fingerprint }: IdempotentRequest,
  made: { id: string; createdAt: number },
): Promise<void> {
  const { numUpdatedRows } = await tx
    .updateTable("idempotency_keys")
    .set({ fingerprint, object_id: made.id, node_id: null })
    .where("project_id", "=", projectId)
    .where("key", "=", key)
    .where(isRunning)
    .where("begun_at", ">", made.createdAt - IDEMPOTENCY_RUN_MS)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) {
    throw new ConflictError(`No request runs under the Idempotency-Key ${JSON.stringify(key)}.`);
  }
}

/** All requests under a key count as crashed. */
export async function forgetRunning(tx: Tx): Promise<void> {
  await tx.deleteFrom("idempotency_keys").where(isRunning).execute();
}

function isOver(database: SqlDatabase, now: number): RawBuilder<boolean> {
  return sql`(idempotency_keys.begun_at <= ${now - IDEMPOTENCY_KEY_MS}
    or (${isRunning} and idempotency_keys.begun_at <= ${now - IDEMPOTENCY_RUN_MS})
    or (${isRunning} and idempotency_keys.node_id is not null and not exists (
      select 1 from nodes
      where nodes.id = idempotency_keys.node_id and nodes.lives_until > ${database.now()})))`;
}
