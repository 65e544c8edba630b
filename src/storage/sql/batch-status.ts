// Changes of a batch's status: the only place that writes the column, keeps the number of batches in
// each status, refuses what statusTransitions does not allow, and tells webhooks of the end.

import { sql } from "kysely";
import type { Updateable } from "kysely";
import { statusTransitions, terminalStatuses } from "../../core/batch.ts";
import type { BatchStatus } from "../../core/batch.ts";
import { ConflictError } from "../../core/store.ts";
import { addEvent } from "./delivery-store.ts";
import type { BatchRow, Tables } from "./schema.ts";
import type { Tx } from "./sql-database.ts";

/** Sets the status and its time, and `also`. Throws ConflictError when the batch has moved on. */
export async function changeStatus(
  tx: Tx,
  batch: Pick<BatchRow, "id" | "project_id" | "status">,
  to: Exclude<BatchStatus, "validating">,
  at: number,
  also: Updateable<Tables["batches"]>,
): Promise<void> {
  const from = batch.status;
  if (!statusTransitions[from].includes(to)) {
    throw new ConflictError(`Batch ${batch.id} is ${from}; it cannot become ${to}.`);
  }
  const { numUpdatedRows } = await tx
    .updateTable("batches")
    .set({ ...also, status: to, [`${to}_at`]: at })
    .where("id", "=", batch.id)
    // A literal, as wherever a partial index is about the column (see SqliteStatements).
    .where("status", "=", sql.lit(from))
    .executeTakeFirst();
  if (numUpdatedRows === 0n) throw new ConflictError(`Batch ${batch.id} is not ${from} any more.`);
  await count(tx, from, -1);
  await count(tx, to, 1);
  if (terminalStatuses.includes(to)) {
    await addEvent(tx, batch.project_id, { type: `batch.${to}`, objectId: batch.id, at });
  }
}

/** Adds to the number of batches in a status. */
export async function count(tx: Tx, status: BatchStatus, more: 1 | -1): Promise<void> {
  await tx
    .updateTable("batch_counts")
    .set({ batches: sql<number>`batches + ${more}` })
    .where("status", "=", status)
    .execute();
}
