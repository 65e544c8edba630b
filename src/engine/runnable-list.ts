// Which batches a node looks at for claims: the oldest ones, but as many as there are of one model hide none of another.

import type { BatchStore, Demand, RunnableBatch } from "../core/store.ts";
import type { ShardsAtHand } from "./shards-at-hand.ts";

/** Batches listed in one go. */
const LIMIT = 200;
/** Lists that are made one after the other, at most. */
const LISTS = 8;

/** @param except demands to leave out */
export async function listRunnable(
  batches: Pick<BatchStore, "listRunnable">,
  atHand: ShardsAtHand,
  except: readonly Demand[],
): Promise<RunnableBatch[]> {
  const found = new Map<string, RunnableBatch>();
  let leftOut = except;
  for (let count = 0; count < LISTS; count++) {
    const listed = await batches.listRunnable(LIMIT, leftOut);
    for (const batch of listed) if (!found.has(batch.batchId)) found.set(batch.batchId, batch);
    if (listed.length < LIMIT) break;
    // Behind them there may be batches of other demands, of which a shard is wanted.
    const unwanted = demandsOf(listed).filter((demand) => !atHand.wantsMore(demand));
    if (unwanted.length === 0) break;
    leftOut = [...leftOut, ...unwanted];
  }
  return [...found.values()];
}

function demandsOf(batches: readonly RunnableBatch[]): Demand[] {
  const demands = batches.flatMap(({ endpoint, models }) =>
    models.map((model) => [JSON.stringify([endpoint, model]), { endpoint, model }] as const),
  );
  return [...new Map(demands).values()];
}
