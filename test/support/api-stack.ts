// The API without an engine, on storage of either kind: what the API suite runs against.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BatchService } from "../../src/batches/batch-service.ts";
import type { BlobStore, BlobWriter } from "../../src/core/blob-store.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { endpointPaths } from "../../src/core/endpoints.ts";
import { type Limits, defaultLimits } from "../../src/core/limits.ts";
import { type ProjectLimits, defaultProjectLimits } from "../../src/core/project.ts";
import { Signals } from "../../src/core/signals.ts";
import type { Store } from "../../src/core/store.ts";
import { FileService } from "../../src/files/file-service.ts";
import { buildApp } from "../../src/http/app.ts";
import { IdempotencyKeys } from "../../src/http/idempotency.ts";
import type { Readiness } from "../../src/http/routes/operations.ts";
import type { Model } from "../../src/http/wire.ts";
import { createLog } from "../../src/observability/log.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { ApiKeys } from "../../src/projects/api-keys.ts";
import { ProjectWebhooks } from "../../src/projects/project-webhooks.ts";
import { SecretBox } from "../../src/projects/secret-box.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import { UploadService } from "../../src/uploads/upload-service.ts";
import { type OpenStorage, openSharedStorage } from "./shared-storage.ts";

/** What a suite needs of a running API, whatever it stands on. */
export interface ApiStack {
  /** Without `/v1`. */
  baseUrl: string;
  store: Store;
  blobs: BlobStore;
  signals: Signals;
  /** The server is open to everybody until a key is made. */
  keys: ApiKeys;
  /** The lines of the log, one JSON object each. */
  log: string[];
  models: Model[];
  readiness: Readiness;
  /** Blobs that have been neither committed nor aborted. */
  unfinishedBlobs(): number;
  /** Bytes that have been written of them. */
  unfinishedBytes(): number;
  /** Moves the time of the services. */
  passTime(ms: number): void;
  close(): Promise<void>;
}

export interface ApiStackOptions {
  limits?: Partial<Limits>;
  /** Of every project. */
  projectLimits?: Partial<ProjectLimits>;
  endpoints?: readonly string[];
  freeSpaceFloorBytes?: number;
  adminKey?: string;
  anyHost?: boolean;
}

export type StartApi = (options?: ApiStackOptions) => Promise<ApiStack>;

/** On SQLite and a directory. */
export const startEmbeddedApi: StartApi = (options) => startApi(openEmbeddedStorage, options);

/** On PostgreSQL and S3. */
export const startSharedApi: StartApi = (options) => startApi(openSharedStorage, options);

async function openEmbeddedStorage(clock: Clock): Promise<OpenStorage> {
  const directory = await mkdtemp(join(tmpdir(), "offpeak-api-"));
  const store = await openSqliteStore({ path: ":memory:", clock });
  const blobs = await openDiskBlobStore({ directory });
  return {
    store,
    blobs,
    close: async () => {
      await blobs.close();
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

async function startApi(
  openStorage: (clock: Clock) => Promise<OpenStorage>,
  options: ApiStackOptions = {},
): Promise<ApiStack> {
  let passedMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + passedMs };
  const storage = await openStorage(clock);
  const { store, blobs } = storage;
  const unfinished = watchWriters(blobs);
  const signals = new Signals();
  const log: string[] = [];
  const models: Model[] = [];
  const readiness: Readiness = { ready: true, checks: [] };
  const limitsOf = () => ({ ...defaultProjectLimits, ...options.projectLimits });
  const limits = { ...defaultLimits, ...options.limits };
  const { freeSpaceFloorBytes = 0 } = options;
  const { files, uploads, batches, webhooks } = store;
  const kept = { files, blobs, signals, clock, limits, limitsOf, freeSpaceFloorBytes };
  const logger = createLog("debug", { write: (line) => log.push(line) });
  const keys = new ApiKeys({ keys: store.keys, clock, log: logger, adminKey: options.adminKey });
  const secrets = new SecretBox("a-key-for-tests");
  const metrics = createMetrics(store.batches);
  const app = buildApp({
    services: {
      files: new FileService(kept),
      uploads: new UploadService({ ...kept, uploads }),
      batches: new BatchService({ batches, signals, clock, limitsOf }),
      idempotency: new IdempotencyKeys(store.idempotency, clock),
      endpoints: options.endpoints ?? endpointPaths,
      webhooks: new ProjectWebhooks({
        webhooks,
        secrets,
        signals,
        clock,
        refusalOfUrl: () => undefined,
        sendNow: () => Promise.resolve({ status: 200, error: null }),
      }),
      listModels: () => models,
    },
    keys,
    metrics,
    exposeMetrics: () => metrics.registry.metrics(),
    log: logger,
    readiness: () => Promise.resolve(readiness),
    anyHost: options.anyHost ?? false,
  });
  const baseUrl = await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    baseUrl,
    store,
    blobs,
    signals,
    keys,
    log,
    models,
    readiness,
    unfinishedBlobs: () => unfinished.size,
    unfinishedBytes: () => [...unfinished].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    passTime: (ms) => {
      passedMs += ms;
    },
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
      await storage.close();
    },
  };
}

/** The writers of blobs that have neither been committed nor aborted. */
function watchWriters(blobs: BlobStore): ReadonlySet<BlobWriter> {
  const unfinished = new Set<BlobWriter>();
  const create = blobs.create.bind(blobs);
  blobs.create = async (key) => {
    const writer = await create(key);
    unfinished.add(writer);
    for (const end of ["commit", "abort"] as const) {
      const original = writer[end].bind(writer);
      writer[end] = async () => {
        await original();
        unfinished.delete(writer);
      };
    }
    return writer;
  };
  return unfinished;
}
