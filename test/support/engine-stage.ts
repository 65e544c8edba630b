// What the parts of the engine stand on, without an engine: a store in memory, blobs in a folder of
// their own, a clock that tests move, and batches planned from real lines.
import type { NewBatch } from "../../src/core/batch.ts";
import { blobKeys, type BlobStore } from "../../src/core/blob-store.ts";
import { findEndpoint } from "../../src/core/endpoints.ts";
import type { StoredFile } from "../../src/core/file.ts";
import { newBatchId, newFileId } from "../../src/core/ids.ts";
import { defaultLimits } from "../../src/core/limits.ts";
import type { ShardClaim } from "../../src/core/shard-store.ts";
import type { Store } from "../../src/core/store.ts";
import { buildPlan } from "../../src/engine/plan-builder.ts";
import { PlanningThread } from "../../src/engine/planning-thread.ts";
import { createLog, type Log } from "../../src/observability/log.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import { FakeClock } from "./fake-clock.ts";
import { openWorkplace } from "./workplace.ts";

const PROJECT = "default";
const OWNER = "node-1";
const LEASE_MS = 30_000;

export interface EngineStage extends AsyncDisposable {
  store: Store;
  blobs: BlobStore;
  clock: FakeClock;
  log: Log;
  /** What was logged, one object a line. */
  logged(): Record<string, unknown>[];
  /** A path below the folder of the blobs. */
  blobPath(key: string): string;
  /** Stores a file for a project; answers its id. */
  storeFile(content: string, change?: Partial<StoredFile>): Promise<string>;
  /** A batch that is `validating`; answers its id. */
  insertBatch(inputFileId: string, change?: Partial<NewBatch>): Promise<string>;
  /** Plans a batch; answers its id. */
  planBatch(lines: readonly string[], options?: PlanBatchOptions): Promise<string>;
  /** The next shard of a batch planned here. Throws when none is free. */
  claimShard(batchId: string, owner?: string): Promise<ShardClaim>;
}

export interface PlanBatchOptions {
  endpoint?: string;
  shardLines?: number;
  resolve?: (model: string) => string;
}

/** An embeddings line; its custom_id is the text, too. */
export function embeddingLine(text: string, model = "simulated-model"): string {
  return JSON.stringify({
    custom_id: text,
    method: "POST",
    url: "/v1/embeddings",
    body: { model, input: text },
  });
}

export async function openEngineStage(): Promise<EngineStage> {
  const place = openWorkplace();
  const clock = new FakeClock();
  const store = await openSqliteStore({ path: ":memory:", clock });
  const blobs = await openDiskBlobStore({ directory: place.path("data") });
  const lines: string[] = [];
  const plannedModels = new Map<string, string[]>();

  async function storeFile(content: string, change: Partial<StoredFile> = {}): Promise<string> {
    const id = newFileId();
    const writer = await blobs.create(blobKeys.file(id));
    await writer.write(Buffer.from(content));
    await writer.commit();
    await store.files.insert({
      id,
      projectId: PROJECT,
      purpose: "batch",
      filename: "input.jsonl",
      sizeBytes: Buffer.byteLength(content),
      sha256: null,
      blobKey: blobKeys.file(id),
      createdAt: clock.now(),
      expiresAt: null,
      ...change,
    });
    return id;
  }

  async function insertBatch(inputFileId: string, change: Partial<NewBatch> = {}): Promise<string> {
    const { id } = await store.batches.insert({
      id: newBatchId(clock.now()),
      projectId: PROJECT,
      endpoint: "/v1/embeddings",
      completionWindow: "24h",
      inputFileId,
      metadata: null,
      outputExpiresAfterSeconds: null,
      createdAt: clock.now(),
      expiresAt: clock.now() + 86_400_000,
      ...change,
    });
    return id;
  }

  return {
    store,
    blobs,
    clock,
    log: createLog("info", { write: (line) => lines.push(line) }),
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    storeFile,
    insertBatch,
    blobPath: (key) => place.path(`data/blobs/${key}`),
    planBatch: async (requests, options = {}) => {
      const endpoint = options.endpoint ?? "/v1/embeddings";
      const resolve = options.resolve ?? ((model: string) => model);
      const inputFileId = await storeFile(requests.map((line) => `${line}\n`).join(""));
      const id = await insertBatch(inputFileId, { endpoint });
      const claim = await store.batches.claimPlanning(OWNER, LEASE_MS, []);
      if (claim?.batch.id !== id) throw new Error("another batch was claimed");
      await store.batches.startPlanning(id, claim.epoch, clock.now());
      const planKey = blobKeys.plan(id, claim.epoch);
      const plan = await buildPlan({
        blobs,
        thread: new PlanningThread(),
        inputKey: blobKeys.file(inputFileId),
        planKey,
        shardLines: options.shardLines ?? 1_000,
        resolve,
        checkpoint: () => {},
        rules: {
          endpoint: findEndpoint(endpoint)!,
          limits: defaultLimits,
          allowSeveralModels: true,
          serves: () => true,
          servedModels: [],
        },
      });
      if (!plan.ok) throw new Error(JSON.stringify(plan.errors));
      const { total, promptTokens, shards } = plan;
      plannedModels.set(id, [...new Set(shards.map(({ model }) => model))]);
      const at = clock.now();
      await store.batches.finishPlanning(id, claim.epoch, {
        planKey,
        total,
        promptTokens,
        model: null,
        shards,
        limits: { lines: null, promptTokens: null },
        at,
      });
      return id;
    },
    claimShard: async (batchId, owner = OWNER) => {
      const models = plannedModels.get(batchId) ?? [];
      const query = { models, owner, leaseMs: LEASE_MS, limit: 1 };
      const [claim] = await store.shards.claim(batchId, query);
      if (!claim) throw new Error(`batch ${batchId} has no shard to claim`);
      return claim;
    },
    [Symbol.asyncDispose]: async () => {
      await blobs.close();
      await store.close();
      place[Symbol.dispose]();
    },
  };
}
