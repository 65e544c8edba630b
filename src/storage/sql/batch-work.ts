// Which batches there is something to do for. Literal, as the partial indexes of batches have it.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";

export const isToPlan = sql<boolean>`batches.status = 'validating'`;

/** Its shards are to be run. */
export const isRunning = sql<boolean>`(batches.status = 'in_progress' and batches.ending is null)`;

export const isToAssemble = sql<boolean>`(batches.ending is not null and batches.ended = 0)`;

/** It runs, and its window is over. */
export function isOverdue(now: number): RawBuilder<boolean> {
  return sql`(${isRunning} and batches.expires_at <= ${now})`;
}
