// Pages of files and batches: the cursor is an id, the order is that of creation. Records are never
// removed, so that an id stays a valid cursor for ever.

import { NotFoundError } from "../../core/store.ts";
import type { Page } from "../../core/store.ts";
import type { Tx } from "./sql-database.ts";

/** The place of `id` in the order of creation. Throws NotFoundError when the project never had it. */
export async function cursorPosition(
  tx: Tx,
  table: "files" | "batches",
  projectId: string,
  id: string,
): Promise<number> {
  const row = await tx
    .selectFrom(table)
    .select("seq")
    .where("id", "=", id)
    .where("project_id", "=", projectId)
    .executeTakeFirst();
  if (row === undefined) throw new NotFoundError(`No record in ${table} with the id ${id}.`);
  return row.seq;
}

/** A page of `limit` from up to `limit + 1` records. An empty page never claims that more follow. */
export function toPage<T>(records: T[], limit: number): Page<T> {
  return { data: records.slice(0, limit), hasMore: limit > 0 && records.length > limit };
}
