// A batch as a row, and back. Counts and usage of a batch that runs are sums over its shards: one
// query for all batches that are read together.

import type { Batch, NewBatch, ValidationError } from "../../core/batch.ts";
import type { ClaimedBatch } from "../../core/store.ts";
import { figureSums, toUsage } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { BatchRow } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

export function toNewRow(batch: NewBatch) {
  return {
    id: batch.id,
    project_id: batch.projectId,
    endpoint: batch.endpoint,
    completion_window: batch.completionWindow,
    input_file_id: batch.inputFileId,
    metadata: batch.metadata && JSON.stringify(batch.metadata),
    output_expires_after_seconds: batch.outputExpiresAfterSeconds,
    status: "validating" as const,
    created_at: batch.createdAt,
    expires_at: batch.expiresAt,
  };
}

/** The batches of these rows, in their order, with counts and usage as they are now. */
export async function toBatches(
  database: SqlDatabase,
  tx: Tx,
  rows: readonly BatchRow[],
): Promise<Batch[]> {
  const planned = rows.filter((row) => row.ended === 0 && row.plan_key !== null);
  const sums = planned.length === 0 ? new Map<string, Figures>() : await sumShards(planned);
  return rows.map((row) => toBatch(row, sums.get(row.id) ?? row));

  async function sumShards(of: readonly BatchRow[]): Promise<Map<string, Figures>> {
    const summed = await tx
      .selectFrom("shards")
      .select("batch_id")
      .select(figureSums())
      .where(
        database.isOneOf(
          "shards.batch_id",
          of.map((row) => row.id),
        ),
      )
      .groupBy("batch_id")
      .execute();
    return new Map(summed.map((row) => [row.batch_id, row]));
  }
}

/** The batch of one row, which there must be. */
export async function toOneBatch(database: SqlDatabase, tx: Tx, row: BatchRow): Promise<Batch> {
  const [batch] = await toBatches(database, tx, [row]);
  return batch!;
}

function toBatch(row: BatchRow, figures: Figures): Batch {
  return {
    ...toClaimedBatch(row),
    counts: { total: row.total, completed: figures.completed, failed: figures.failed },
    usage: toUsage(figures),
  };
}

export function toClaimedBatch(row: BatchRow): ClaimedBatch {
  return {
    id: row.id,
    projectId: row.project_id,
    endpoint: row.endpoint,
    completionWindow: row.completion_window,
    inputFileId: row.input_file_id,
    metadata: row.metadata === null ? null : (JSON.parse(row.metadata) as Record<string, string>),
    outputExpiresAfterSeconds: row.output_expires_after_seconds,
    status: row.status,
    ending: row.ending,
    model: row.model,
    errors: row.errors === null ? null : (JSON.parse(row.errors) as ValidationError[]),
    outputFileId: row.output_file_id,
    errorFileId: row.error_file_id,
    createdAt: row.created_at,
    inProgressAt: row.in_progress_at,
    expiresAt: row.expires_at,
    finalizingAt: row.finalizing_at,
    completedAt: row.completed_at,
    failedAt: row.failed_at,
    expiredAt: row.expired_at,
    cancellingAt: row.cancelling_at,
    cancelledAt: row.cancelled_at,
    planningStartedAt: row.planning_started_at,
    planKey: row.plan_key,
    waitingReason: row.waiting_reason,
  };
}
