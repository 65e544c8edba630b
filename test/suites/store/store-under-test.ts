// What every case of the Store's suite starts from: a driver, a clock that only the case moves, and
// files, batches and shards in the state a case wants.

import type { Batch, Ending, NewBatch } from "../../../src/core/batch.ts";
import type { StoredFile } from "../../../src/core/file.ts";
import type { ShardClaim, ShardProgress } from "../../../src/core/shard-store.ts";
import type { NewShard, QueueLimits, Store } from "../../../src/core/store.ts";
import type { Upload, UploadPart } from "../../../src/core/upload.ts";
import { noUsage } from "../../../src/core/usage.ts";
import { webhookEventTypes } from "../../../src/core/webhook.ts";
import type { Webhook } from "../../../src/core/webhook.ts";
import type { FakeClock } from "../../support/fake-clock.ts";

export interface StoreUnderTest {
  store: Store;
  /** The Store of a second node on the same data; where a driver has only one, that one. */
  peer: Store;
  clock: FakeClock;
}

/** Opens an empty Store; it is closed when the test ends. */
export type OpenStore = () => Promise<StoreUnderTest>;

export const PROJECT = "proj_a";
export const OTHER_PROJECT = "proj_b";
export const LEASE_MS = 30_000;
export const NODE = "node_1";
export const OTHER_NODE = "node_2";
export const noQueueLimits: QueueLimits = { lines: null, promptTokens: null };
export const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export function aFile(id: string, change: Partial<StoredFile> = {}): StoredFile {
  return {
    id,
    projectId: PROJECT,
    purpose: "batch",
    filename: `${id}.jsonl`,
    sizeBytes: 1_234,
    sha256: "ab".repeat(32),
    blobKey: `files/${id}`,
    createdAt: 1_000,
    expiresAt: null,
    ...change,
  };
}

/** Pending for an hour. */
export function anUpload(id: string, change: Partial<Upload> = {}): Upload {
  return {
    id,
    projectId: PROJECT,
    filename: `${id}.jsonl`,
    purpose: "batch",
    mimeType: "application/jsonl",
    sizeBytes: 5_000,
    fileExpiresAfterSeconds: null,
    status: "pending",
    createdAt: 1_000,
    expiresAt: 1_000 + HOUR_MS,
    fileId: null,
    partIds: null,
    ...change,
  };
}

export function aPart(id: string, change: Partial<UploadPart> = {}): UploadPart {
  return {
    id,
    uploadId: "upload-1",
    sizeBytes: 1_000,
    sha256: "ef".repeat(32),
    blobKey: `uploads/${id}`,
    createdAt: 1_500,
    ...change,
  };
}

/** Of all events. */
export function aWebhook(id: string, change: Partial<Webhook> = {}): Webhook {
  return {
    id,
    projectId: PROJECT,
    url: `https://example.com/${id}`,
    events: webhookEventTypes,
    createdAt: 1_000,
    name: `name of ${id}`,
    updatedAt: 1_000,
    sealedSecret: `sealed for ${id}`,
    secretHint: "whsec_…hint",
    previousSecret: null,
    ...change,
  };
}

export function aBatch(id: string, change: Partial<NewBatch> = {}): NewBatch {
  return {
    id,
    projectId: PROJECT,
    endpoint: "/v1/chat/completions",
    completionWindow: "24h",
    inputFileId: `file-of-${id}`,
    metadata: null,
    outputExpiresAfterSeconds: null,
    createdAt: 1_000,
    expiresAt: 1_000 + DAY_MS,
    ...change,
  };
}

/** `count` shards of 10 lines each. */
export function someShards(count: number, change: Partial<NewShard> = {}): NewShard[] {
  return Array.from({ length: count }, (_, index) => ({
    model: "model-a",
    requestedModel: "model-a",
    firstEntry: index * 10,
    entryCount: 10,
    ...change,
  }));
}

/** Progress with so many completed lines; every other figure follows from it. */
export function progressOf(completed: number, change: Partial<ShardProgress> = {}): ShardProgress {
  return {
    completed,
    failed: completed % 3,
    usage: {
      inputTokens: completed * 7,
      outputTokens: completed * 5,
      totalTokens: completed * 12,
      cachedTokens: completed * 2,
      reasoningTokens: completed * 3,
    },
    answeredModel: null,
    ...change,
  };
}

/** Takes up the planning of that very batch. Answers the epoch. */
export async function claimPlanningOf(store: Store, id: string): Promise<number> {
  const others: string[] = [];
  for (;;) {
    const claim = await store.batches.claimPlanning(NODE, LEASE_MS, others);
    if (claim === undefined) throw new Error(`Batch ${id} cannot be claimed for planning.`);
    if (claim.batch.id === id) return claim.epoch;
    await store.batches.releaseClaim(claim.batch.id, claim.epoch);
    others.push(claim.batch.id);
  }
}

/** Inserts a batch and brings it to in_progress. */
export async function plannedBatch(
  store: Store,
  id: string,
  plan: {
    batch?: Partial<NewBatch>;
    shards?: NewShard[];
    promptTokens?: number;
    model?: string | null;
    limits?: QueueLimits;
  } = {},
): Promise<void> {
  await store.batches.insert(aBatch(id, plan.batch));
  const epoch = await claimPlanningOf(store, id);
  const shards = plan.shards ?? someShards(3);
  await store.batches.finishPlanning(id, epoch, {
    planKey: `batches/${id}/plan-${epoch}`,
    total: shards.reduce((sum, shard) => sum + shard.entryCount, 0),
    promptTokens: plan.promptTokens ?? 500,
    model: plan.model === undefined ? "model-a" : plan.model,
    shards,
    limits: plan.limits ?? noQueueLimits,
    at: 2_000,
  });
}

/** Claims up to `limit` shards of model-a. */
export function claimShards(store: Store, batchId: string, limit = 1_000): Promise<ShardClaim[]> {
  return store.shards.claim(batchId, {
    models: ["model-a"],
    owner: NODE,
    leaseMs: LEASE_MS,
    limit,
  });
}

export async function claimOneShard(store: Store, batchId: string): Promise<ShardClaim> {
  const [claim] = await claimShards(store, batchId, 1);
  if (claim === undefined) throw new Error(`Batch ${batchId} has no shard to claim.`);
  return claim;
}

/** Finishes all shards of an in_progress batch: it becomes finalizing. */
export async function settle(store: Store, batchId: string): Promise<void> {
  for (const { shardId, epoch } of await claimShards(store, batchId)) {
    await store.shards.finish(shardId, epoch, 100, progressOf(10), 3_000);
  }
}

/** Takes up the assembling of that very batch, which must be the oldest one. Answers the epoch. */
export async function claimAssemblingOf(store: Store, id: string): Promise<number> {
  const claim = await store.batches.claimAssembling(NODE, LEASE_MS);
  if (claim?.batch.id !== id) throw new Error(`Batch ${id} cannot be claimed for assembling.`);
  return claim.epoch;
}

export function finishResult(
  ending: Ending,
  change: { outputFile?: StoredFile; errorFile?: StoredFile } = {},
) {
  return {
    ending,
    outputFile: null,
    errorFile: null,
    counts: { total: 28, completed: 20, failed: 5 },
    usage: { ...noUsage(), inputTokens: 11, outputTokens: 22, totalTokens: 33 },
    at: 9_000,
    ...change,
  };
}

/** Every state in which a batch can be, and how it gets there. */
export const batchStates: Record<string, (store: Store, id: string) => Promise<void>> = {
  validating: async (store, id) => {
    await store.batches.insert(aBatch(id));
  },
  failed: async (store, id) => {
    await store.batches.insert(aBatch(id));
    await store.batches.failValidation(id, await claimPlanningOf(store, id), [], 2_500);
  },
  in_progress: (store, id) => plannedBatch(store, id),
  "in_progress, expired": async (store, id) => {
    await plannedBatch(store, id, { batch: { expiresAt: 5_000 } });
    await store.batches.expireDue(5_000);
  },
  finalizing: async (store, id) => {
    await plannedBatch(store, id);
    await settle(store, id);
  },
  completed: async (store, id) => {
    await batchStates["finalizing"]!(store, id);
    const epoch = await claimAssemblingOf(store, id);
    await store.batches.finish(id, epoch, finishResult("completed"));
  },
  expired: async (store, id) => {
    await batchStates["in_progress, expired"]!(store, id);
    const epoch = await claimAssemblingOf(store, id);
    await store.batches.finish(id, epoch, finishResult("expired"));
  },
  cancelling: async (store, id) => {
    await plannedBatch(store, id);
    await store.batches.requestCancel(PROJECT, id, 4_000);
  },
  cancelled: async (store, id) => {
    await batchStates["cancelling"]!(store, id);
    const epoch = await claimAssemblingOf(store, id);
    await store.batches.finish(id, epoch, finishResult("cancelled"));
  },
};

/** The batch, which must exist. */
export async function read(store: Store, id: string): Promise<Batch> {
  const batch = await store.batches.get(PROJECT, id);
  if (batch === undefined) throw new Error(`There is no batch ${id}.`);
  return batch;
}
