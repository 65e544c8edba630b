// Uploads in SQL. An upload is open while it is pending and not expired; its record stays, its parts
// go once it is not open any more.

import { sql } from "kysely";
import { ConflictError, LimitExceededError, NotFoundError } from "../../core/store.ts";
import type { UploadStore } from "../../core/upload-store.ts";
import type { Upload, UploadPart } from "../../core/upload.ts";
import { insertFile } from "./file-store.ts";
import { noteObject } from "./idempotency-store.ts";
import type { UploadPartRow, UploadRow } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";
import { requireStored } from "./stored-bytes.ts";

/** Value of `open_until` that is over at any time. */
const CLOSED = 0;
/** Literal, for the partial indexes. */
const partsKept = sql<boolean>`uploads.swept = 0`;

export function uploadStore(database: SqlDatabase): UploadStore {
  return {
    insert: (upload, { maxStoredBytes = null, idempotent } = {}) =>
      database.write(async (tx) => {
        if (idempotent !== undefined) await noteObject(tx, idempotent, upload);
        const inserted = await tx
          .insertInto("uploads")
          .values({
            id: upload.id,
            project_id: upload.projectId,
            filename: upload.filename,
            purpose: upload.purpose,
            mime_type: upload.mimeType,
            size_bytes: upload.sizeBytes,
            file_expires_after_seconds: upload.fileExpiresAfterSeconds,
            status: "pending",
            created_at: upload.createdAt,
            expires_at: upload.expiresAt,
            open_until: upload.expiresAt,
          })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("id")
          .executeTakeFirst();
        if (inserted === undefined) {
          throw new ConflictError(`An upload with the id ${upload.id} exists.`);
        }
        await requireStored(database, tx, upload, maxStoredBytes, upload.sizeBytes);
      }),

    get: (projectId, id) =>
      database.read(async (tx) => {
        const row = await findUpload(tx, projectId, id);
        return row && toUpload(row);
      }),

    addPart: (projectId, part, { maxPartBytes, maxStoredBytes }, idempotent) =>
      database.write(async (tx) => {
        const upload = await lockUpload(tx, projectId, part.uploadId);
        if (upload === undefined) throw new NotFoundError(`There is no upload ${part.uploadId}.`);
        if (upload.open_until <= part.createdAt) throw notOpen(upload.id);
        if (upload.part_bytes + part.sizeBytes > maxPartBytes) {
          throw new LimitExceededError("part-bytes", maxPartBytes);
        }
        if (idempotent !== undefined) await noteObject(tx, idempotent, part);
        await insertPart(tx, part);
        await tx
          .updateTable("uploads")
          .set({ part_bytes: upload.part_bytes + part.sizeBytes })
          .where("id", "=", upload.id)
          .execute();
        await requireStored(database, tx, { projectId, createdAt: part.createdAt }, maxStoredBytes);
      }),

    parts: (uploadId, partIds) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("upload_parts")
          .selectAll()
          .where(database.isOneOf("upload_parts.id", partIds))
          .where("upload_id", "=", uploadId)
          .execute();
        const found = new Map(rows.map((row) => [row.id, row]));
        return partIds.flatMap((id) => {
          const row = found.get(id);
          return row === undefined ? [] : [toPart(row)];
        });
      }),

    complete: (id, { file, partIds, maxStoredBytes }) =>
      database.write(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("uploads")
          .set({
            status: "completed",
            file_id: file.id,
            part_ids: JSON.stringify(partIds),
            open_until: CLOSED,
          })
          .where("id", "=", id)
          .where("open_until", ">", file.createdAt)
          .executeTakeFirst();
        if (numUpdatedRows === 0n) throw notOpen(id);
        await insertFile(tx, file);
        await requireStored(database, tx, file, maxStoredBytes);
      }),

    cancel: (projectId, id, at) =>
      database.write(async (tx) => {
        await tx
          .updateTable("uploads")
          .set({ status: "cancelled", open_until: CLOSED })
          .where("id", "=", id)
          .where("project_id", "=", projectId)
          .where("open_until", ">", at)
          .execute();
        const row = await findUpload(tx, projectId, id);
        return row && toUpload(row);
      }),

    listUnswept: (now, limit) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("uploads")
          .select("id")
          .where(partsKept)
          .where("open_until", "<=", now)
          .orderBy("open_until")
          .limit(limit)
          .execute();
        return rows.map((row) => row.id);
      }),

    markSwept: (id) =>
      database.write(async (tx) => {
        await tx.updateTable("uploads").set({ swept: 1 }).where("id", "=", id).execute();
        await tx.deleteFrom("upload_parts").where("upload_id", "=", id).execute();
      }),
  };
}

function findUpload(tx: Tx, projectId: string, id: string): Promise<UploadRow | undefined> {
  return uploadOf(tx, projectId, id).executeTakeFirst();
}

function lockUpload(tx: Tx, projectId: string, id: string): Promise<UploadRow | undefined> {
  return uploadOf(tx, projectId, id).forNoKeyUpdate().executeTakeFirst();
}

function uploadOf(tx: Tx, projectId: string, id: string) {
  return tx
    .selectFrom("uploads")
    .selectAll()
    .where("id", "=", id)
    .where("project_id", "=", projectId);
}

async function insertPart(tx: Tx, part: UploadPart): Promise<void> {
  const inserted = await tx
    .insertInto("upload_parts")
    .values({
      id: part.id,
      upload_id: part.uploadId,
      size_bytes: part.sizeBytes,
      sha256: part.sha256,
      blob_key: part.blobKey,
      created_at: part.createdAt,
    })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .returning("id")
    .executeTakeFirst();
  if (inserted === undefined) throw new ConflictError(`A part with the id ${part.id} exists.`);
}

function notOpen(id: string): ConflictError {
  return new ConflictError(`Upload ${id} is not pending any more.`);
}

function toUpload(row: UploadRow): Upload {
  return {
    id: row.id,
    projectId: row.project_id,
    filename: row.filename,
    purpose: row.purpose,
    mimeType: row.mime_type,
    sizeBytes: row.size_bytes,
    fileExpiresAfterSeconds: row.file_expires_after_seconds,
    status: row.status,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    fileId: row.file_id,
    partIds: row.part_ids === null ? null : (JSON.parse(row.part_ids) as string[]),
  };
}

function toPart(row: UploadPartRow): UploadPart {
  return {
    id: row.id,
    uploadId: row.upload_id,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    blobKey: row.blob_key,
    createdAt: row.created_at,
  };
}
