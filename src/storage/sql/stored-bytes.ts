// How much a project stores: its visible files, hidden ones that its batches still need, and the parts of its
// uploads that are still open. Summed along indexes that hold nothing else, so that what is gone costs nothing.

import { sql } from "kysely";
import { LimitExceededError } from "../../core/store.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

/**
 * What was just added, at its creation, leaves the project within `maxBytes` (null: no limit), also
 * when `announcedBytes` more will have come. Throws LimitExceededError.
 */
export async function requireStored(
  database: SqlDatabase,
  tx: Tx,
  added: { projectId: string; createdAt: number },
  maxBytes: number | null,
  announcedBytes = 0,
): Promise<void> {
  if (maxBytes === null) return;
  const { projectId, createdAt } = added;
  await database.lock(tx, `stored bytes of ${projectId}`);
  const { rows } = await sql<{ bytes: number }>`
    select cast(coalesce(sum(bytes), 0) as bigint) as bytes from (
      select sum(size_bytes) as bytes from files
        where reclaimed = 0 and project_id = ${projectId} and visible_until is null
      union all
      select sum(size_bytes) from files
        where reclaimed = 0 and project_id = ${projectId} and visible_until > ${createdAt}
      union all
      select sum(size_bytes) from files
        where reclaimed = 0 and project_id = ${projectId} and visible_until <= ${createdAt}
          and exists (select 1 from batches where batches.input_file_id = files.id and batches.ended = 0)
      union all
      select sum(part_bytes) from uploads
        where swept = 0 and project_id = ${projectId} and open_until > ${createdAt}
    ) as stored`.execute(tx);
  if (rows[0]!.bytes + announcedBytes > maxBytes)
    throw new LimitExceededError("stored-bytes", maxBytes);
}
