// How much a project may have in batches: created within an hour, and waiting to be answered.

import { sql } from "kysely";
import type { NewBatch } from "../../core/batch.ts";
import { LimitExceededError } from "../../core/store.ts";
import type { QueueLimits } from "../../core/store.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

const HOUR_MS = 3_600_000;

/** Within the hour before `batch` the project created fewer than `maxPerHour`. Throws LimitExceededError. */
export async function requireTurnInHour(
  database: SqlDatabase,
  tx: Tx,
  batch: Pick<NewBatch, "projectId" | "createdAt">,
  maxPerHour: number,
): Promise<void> {
  await database.lock(tx, `batches of ${batch.projectId}`);
  const { created } = await tx
    .selectFrom("batches")
    .select(({ fn }) => fn.countAll<number>().as("created"))
    .where("project_id", "=", batch.projectId)
    .where("created_at", ">", batch.createdAt - HOUR_MS)
    .executeTakeFirstOrThrow();
  if (created >= maxPerHour) throw new LimitExceededError("batches-per-hour", maxPerHour);
}

/** The project's planned batches that have not ended leave room for one more. Throws LimitExceededError. */
export async function requireQueueRoom(
  database: SqlDatabase,
  tx: Tx,
  projectId: string,
  plan: { total: number; promptTokens: number; limits: QueueLimits },
): Promise<void> {
  const { limits } = plan;
  if (limits.lines === null && limits.promptTokens === null) return;
  await database.lock(tx, `queue of ${projectId}`);
  // One that is not planned has none of either.
  const queued = await tx
    .selectFrom("batches")
    .select([
      sql<number>`cast(coalesce(sum(total), 0) as bigint)`.as("lines"),
      sql<number>`cast(coalesce(sum(prompt_tokens), 0) as bigint)`.as("promptTokens"),
    ])
    .where("project_id", "=", projectId)
    .where(sql<boolean>`batches.ended = 0`)
    .executeTakeFirstOrThrow();
  if (limits.lines !== null && queued.lines + plan.total > limits.lines) {
    throw new LimitExceededError("queued-lines", limits.lines);
  }
  if (
    limits.promptTokens !== null &&
    queued.promptTokens + plan.promptTokens > limits.promptTokens
  ) {
    throw new LimitExceededError("queued-prompt-tokens", limits.promptTokens);
  }
}
