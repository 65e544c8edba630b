// The API on embedded storage, without an engine: what the API suite runs against.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BatchService } from "../../src/batches/batch-service.ts";
import type { BlobStore } from "../../src/core/blob-store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { type Limits, defaultLimits } from "../../src/core/limits.ts";
import { Signals } from "../../src/core/signals.ts";
import type { Store } from "../../src/core/store.ts";
import { FileService } from "../../src/files/file-service.ts";
import { buildApp } from "../../src/http/app.ts";
import type { Readiness } from "../../src/http/routes/operations.ts";
import type { Model } from "../../src/http/wire.ts";
import { createLog } from "../../src/observability/log.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";

/** What a suite needs of a running API, whatever it stands on. */
export interface ApiStack {
  /** Without `/v1`. */
  baseUrl: string;
  store: Store;
  blobs: BlobStore;
  signals: Signals;
  /** The lines of the log, one JSON object each. */
  log: string[];
  models: Model[];
  readiness: Readiness;
  /** Blobs that are being written: the disk store keeps them apart. */
  unfinishedBlobs(): Promise<number>;
  /** Moves the time of the services. */
  passTime(ms: number): void;
  close(): Promise<void>;
}

export interface ApiStackOptions {
  limits?: Partial<Limits>;
  freeSpaceFloorBytes?: number;
  anyHost?: boolean;
}

export type StartApi = (options?: ApiStackOptions) => Promise<ApiStack>;

export const startEmbeddedApi: StartApi = async (options = {}) => {
  const directory = await mkdtemp(join(tmpdir(), "offpeak-api-"));
  let passedMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + passedMs };
  const store = await openSqliteStore({ path: ":memory:", clock });
  const blobs = await openDiskBlobStore({ directory });
  const signals = new Signals();
  const log: string[] = [];
  const models: Model[] = [];
  const readiness: Readiness = { ready: true, checks: [] };
  const app = buildApp({
    files: new FileService({
      files: store.files,
      blobs,
      signals,
      clock,
      limits: { ...defaultLimits, ...options.limits },
      freeSpaceFloorBytes: options.freeSpaceFloorBytes ?? 0,
    }),
    batches: new BatchService({ batches: store.batches, signals, clock }),
    metrics: createMetrics(() => store.batches.countByStatus()),
    log: createLog("debug", { write: (line) => log.push(line) }),
    listModels: () => models,
    readiness: () => readiness,
    anyHost: options.anyHost ?? false,
  });
  const baseUrl = await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    baseUrl,
    store,
    blobs,
    signals,
    log,
    models,
    readiness,
    unfinishedBlobs: async () => (await readdir(join(directory, "tmp"))).length,
    passTime: (ms) => {
      passedMs += ms;
    },
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
      await blobs.close();
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
};
