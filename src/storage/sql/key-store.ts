// API keys in SQL.

import type { ApiKey, KeyStore } from "../../core/key-store.ts";
import { ConflictError } from "../../core/store.ts";
import type { ApiKeyRow } from "./schema.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Uses closer together than this are noted once: a key in use would else be written at every request. */
const USE_NOTED_MS = 60_000;

export function keyStore(database: SqlDatabase): KeyStore {
  return {
    insert: (key, secretHash) =>
      database.write(async (tx) => {
        const inserted = await tx
          .insertInto("api_keys")
          .values({
            id: key.id,
            project_id: key.projectId,
            secret_hash: secretHash,
            created_at: key.createdAt,
            last_used_at: key.lastUsedAt,
            revoked_at: key.revokedAt,
          })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("seq")
          .executeTakeFirst();
        if (inserted === undefined) throw new ConflictError(`A key with the id ${key.id} exists.`);
      }),

    find: (id) =>
      database.read(async (tx) => {
        const row = await tx
          .selectFrom("api_keys")
          .selectAll()
          .where("id", "=", id)
          .executeTakeFirst();
        return row && { key: toKey(row), secretHash: row.secret_hash };
      }),

    exists: () =>
      database.read(async (tx) => {
        const row = await tx.selectFrom("api_keys").select("seq").limit(1).executeTakeFirst();
        return row !== undefined;
      }),

    list: () =>
      database.read(async (tx) => {
        const rows = await tx.selectFrom("api_keys").selectAll().orderBy("seq").execute();
        return rows.map(toKey);
      }),

    revoke: (id, at) =>
      database.write(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("api_keys")
          .set({ revoked_at: at })
          .where("id", "=", id)
          .where("revoked_at", "is", null)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),

    markUsed: (id, at) =>
      database.repeatable(async (tx) => {
        await tx
          .updateTable("api_keys")
          .set({ last_used_at: at })
          .where("id", "=", id)
          .where((is) =>
            is.or([is("last_used_at", "is", null), is("last_used_at", "<=", at - USE_NOTED_MS)]),
          )
          .execute();
      }),
  };
}

function toKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    projectId: row.project_id,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
  };
}
