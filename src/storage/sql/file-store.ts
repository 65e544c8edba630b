// Files in SQL. A file is visible until it expires or is deleted; its record stays as a tombstone.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import type { StoredFile } from "../../core/file.ts";
import { ConflictError } from "../../core/store.ts";
import type { FileStore } from "../../core/store.ts";
import { noteObject } from "./idempotency-store.ts";
import { cursorPosition, toPage } from "./paging.ts";
import type { FileRow } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";
import { requireStored } from "./stored-bytes.ts";

/** Value of `visible_until` that is over at any time. */
const DELETED = 0;
/** Literal, for the partial indexes. */
const bytesKept = sql<boolean>`files.reclaimed = 0`;

export function fileStore(database: SqlDatabase): FileStore {
  return {
    insert: (file, { maxStoredBytes = null, idempotent } = {}) =>
      database.write(async (tx) => {
        if (idempotent !== undefined) await noteObject(tx, idempotent, file);
        await insertFile(tx, file);
        await requireStored(database, tx, file, maxStoredBytes);
      }),

    get: (projectId, id, now) =>
      database.read(async (tx) => {
        const row = await tx
          .selectFrom("files")
          .selectAll()
          .where("id", "=", id)
          .where("project_id", "=", projectId)
          .where(isVisible(now))
          .executeTakeFirst();
        return row && toFile(row);
      }),

    getRetained: (id) =>
      database.read(async (tx) => {
        const row = await tx
          .selectFrom("files")
          .selectAll()
          .where("id", "=", id)
          .where(bytesKept)
          .executeTakeFirst();
        return row && toFile(row);
      }),

    list: (projectId, { purpose, after, limit, order, now }) =>
      database.read(async (tx) => {
        let query = tx
          .selectFrom("files")
          .selectAll()
          .where("project_id", "=", projectId)
          .where(isVisible(now))
          .orderBy("seq", order)
          .limit(limit + 1);
        if (purpose !== undefined) query = query.where("purpose", "=", purpose);
        if (after !== undefined) {
          const position = await cursorPosition(tx, "files", projectId, after);
          query = query.where("seq", order === "asc" ? ">" : "<", position);
        }
        const rows = await query.execute();
        return toPage(rows.map(toFile), limit);
      }),

    delete: (projectId, id, now) =>
      database.write(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("files")
          .set({ visible_until: DELETED })
          .where("id", "=", id)
          .where("project_id", "=", projectId)
          .where(isVisible(now))
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),

    listReclaimable: (now, limit) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("files")
          .selectAll()
          .where(bytesKept)
          .where("visible_until", "<=", now)
          .where(
            sql<boolean>`not exists (
              select 1 from batches where batches.input_file_id = files.id and batches.ended = 0)`,
          )
          .orderBy("visible_until")
          .limit(limit)
          .execute();
        return rows.map(toFile);
      }),

    markReclaimed: (id) =>
      database.repeatable(async (tx) => {
        await tx.updateTable("files").set({ reclaimed: 1 }).where("id", "=", id).execute();
      }),

    existing: (ids) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("files")
          .select("id")
          .where(database.isOneOf("files.id", ids))
          .execute();
        return new Set(rows.map((row) => row.id));
      }),
  };
}

/** Throws ConflictError when the id exists. */
export async function insertFile(tx: Tx, file: StoredFile): Promise<void> {
  const inserted = await tx
    .insertInto("files")
    .values({
      id: file.id,
      project_id: file.projectId,
      purpose: file.purpose,
      filename: file.filename,
      size_bytes: file.sizeBytes,
      sha256: file.sha256,
      blob_key: file.blobKey,
      created_at: file.createdAt,
      expires_at: file.expiresAt,
      visible_until: file.expiresAt,
    })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .returning("seq")
    .executeTakeFirst();
  if (inserted === undefined) throw new ConflictError(`A file with the id ${file.id} exists.`);
}

function isVisible(now: number): RawBuilder<boolean> {
  return sql`(${bytesKept} and (files.visible_until is null or files.visible_until > ${now}))`;
}

function toFile(row: FileRow): StoredFile {
  return {
    id: row.id,
    projectId: row.project_id,
    purpose: row.purpose,
    filename: row.filename,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    blobKey: row.blob_key,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
