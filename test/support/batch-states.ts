// Brings a batch into any of its statuses through the Store, as an engine would, but without one.
import type { Batch, BatchStatus, Ending } from "../../src/core/batch.ts";
import type { BatchClaim, Store } from "../../src/core/store.ts";
import { noUsage } from "../../src/core/usage.ts";

const OWNER = "test";
const LEASE_MS = 60_000;
/** Of the one shard: completed, failed. The batch's total is one more. */
const PROGRESS = { completed: 2, failed: 1, usage: noUsage(), answeredModel: "model-1" };
const TOTAL = 4;

/** Takes a batch that is `validating` on to `status`. */
export async function bring(
  store: Store,
  { id }: Pick<Batch, "id">,
  status: BatchStatus,
): Promise<void> {
  const at = Date.now();
  if (status === "validating") return;
  if (status === "failed") {
    const { epoch } = await claimPlanning(store, id);
    const errors = [{ code: "invalid_json_line", message: "Bad.", param: null, line: 2 }];
    await store.batches.failValidation(id, epoch, errors, at);
    return;
  }
  await plan(store, id, at);
  switch (status) {
    case "in_progress":
      return;
    case "finalizing":
      return finishShard(store, id, at);
    case "completed":
      await finishShard(store, id, at);
      return assemble(store, id, "completed", at);
    case "expired":
      await store.batches.expireDue(at + 10 * 86_400_000);
      return assemble(store, id, "expired", at);
    case "cancelling":
    case "cancelled":
      await store.batches.requestCancel("default", id, at);
      if (status === "cancelled") await assemble(store, id, "cancelled", at);
  }
}

/** The assembling of this one batch: older ones are taken too, and given back. */
async function claimAssembling(store: Store, id: string): Promise<BatchClaim> {
  const taken: BatchClaim[] = [];
  try {
    for (;;) {
      const claim = await store.batches.claimAssembling(OWNER, LEASE_MS);
      if (claim === undefined) throw new Error(`${id} can't be claimed for assembling.`);
      if (claim.batch.id === id) return claim;
      taken.push(claim);
    }
  } finally {
    for (const { batch, epoch } of taken) await store.batches.releaseClaim(batch.id, epoch);
  }
}

async function claimPlanning(store: Store, id: string): Promise<BatchClaim> {
  const others: string[] = [];
  for (;;) {
    const claim = await store.batches.claimPlanning(OWNER, LEASE_MS, others);
    if (claim === undefined) throw new Error(`${id} can't be claimed for planning.`);
    if (claim.batch.id === id) return claim;
    others.push(claim.batch.id);
    await store.batches.releaseClaim(claim.batch.id, claim.epoch);
  }
}

async function plan(store: Store, id: string, at: number): Promise<void> {
  const { epoch } = await claimPlanning(store, id);
  await store.batches.startPlanning(id, epoch, at);
  const shard = { model: "model-1", requestedModel: "model-1", firstEntry: 0, entryCount: TOTAL };
  await store.batches.finishPlanning(id, epoch, {
    planKey: `batches/${id}/plan-${epoch}`,
    total: TOTAL,
    promptTokens: TOTAL,
    model: "model-1",
    shards: [shard],
    limits: { lines: null, promptTokens: null },
    at,
  });
}

async function finishShard(store: Store, id: string, at: number): Promise<void> {
  const query = { models: ["model-1"], owner: OWNER, leaseMs: LEASE_MS, limit: 1 };
  const [claim] = await store.shards.claim(id, query);
  if (claim === undefined) throw new Error(`${id} has no shard to claim.`);
  await store.shards.finish(claim.shardId, claim.epoch, 0, PROGRESS, at);
}

async function assemble(store: Store, id: string, ending: Ending, at: number): Promise<void> {
  const { epoch } = await claimAssembling(store, id);
  await store.batches.finish(id, epoch, {
    ending,
    outputFile: null,
    errorFile: null,
    counts: { total: TOTAL, completed: PROGRESS.completed, failed: PROGRESS.failed },
    usage: PROGRESS.usage,
    at,
  });
}
