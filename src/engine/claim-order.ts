// Whose turn it is: the order in which a node takes shards of the runnable batches.

import type { RunnableBatch } from "../core/store.ts";

/**
 * Batches of which nothing runs here come first, so that a small one is not stuck behind a large
 * one; among equals the one whose window ends first, then the oldest.
 */
export function byTurn(
  batches: readonly RunnableBatch[],
  active: ReadonlySet<string>,
): RunnableBatch[] {
  const rank = ({ batchId }: RunnableBatch) => (active.has(batchId) ? 1 : 0);
  return batches.toSorted(
    (a, b) => rank(a) - rank(b) || a.expiresAt - b.expiresAt || a.createdAt - b.createdAt,
  );
}
