// Whose turn it is: the order in which a node takes shards of the runnable batches.

import type { RunnableBatch } from "../core/store.ts";

/**
 * Batches of which nothing runs here come first, so that a small one is not stuck behind a large
 * one; among equals the one that waits longest for its turn (`servedAt` has the time of the last,
 * if it had one), then the one whose window ends first, then the oldest.
 */
export function byTurn(
  batches: readonly RunnableBatch[],
  active: ReadonlySet<string>,
  servedAt: ReadonlyMap<string, number> = new Map(),
): RunnableBatch[] {
  const rank = ({ batchId }: RunnableBatch) => (active.has(batchId) ? 1 : 0);
  const turn = ({ batchId }: RunnableBatch) => servedAt.get(batchId) ?? Number.NEGATIVE_INFINITY;
  return batches.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      compare(turn(a), turn(b)) ||
      a.expiresAt - b.expiresAt ||
      a.createdAt - b.createdAt,
  );
}

/** Unlike a difference, this is right for infinities. */
function compare(a: number, b: number): number {
  return a < b ? -1 : Number(a > b);
}
