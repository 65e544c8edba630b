// The composition root: makes the parts of a server from its configuration, introduces them to each
// other, and starts and stops them in order. The only place that knows the adapters.

import { join } from "node:path";
import { BatchService } from "./batches/batch-service.ts";
import type { Config } from "./config/config.ts";
import { systemClock } from "./core/clock.ts";
import { Signals } from "./core/signals.ts";
import { Engine } from "./engine/engine.ts";
import { FileService } from "./files/file-service.ts";
import { buildApp } from "./http/app.ts";
import { Lanes } from "./lanes/lanes.ts";
import { createLog } from "./observability/log.ts";
import { createMetrics } from "./observability/metrics.ts";
import { lockDataDirectory } from "./storage/disk/data-directory-lock.ts";
import { openDiskBlobStore } from "./storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "./storage/sql/sqlite.ts";
import { HttpUpstream } from "./upstream/http-upstream.ts";

export interface RunningServer {
  /** Where it listens, such as `http://127.0.0.1:8024`. */
  url: string;
  /** Takes no more requests or work, hands back what it has, and closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts a server. Throws an error that says what to do when the data directory is in use, the
 * database can't be opened, or the port is taken; whatever had been opened is closed again.
 */
export async function start(config: Config): Promise<RunningServer> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).toReversed()) await closer();
  };
  try {
    const url = await startParts(config, closers);
    return { url, stop: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts everything in order, noting how each part is closed. Answers where the server listens. */
async function startParts(
  config: Config,
  closers: (() => Promise<void> | void)[],
): Promise<string> {
  const clock = systemClock;
  const signals = new Signals();
  const log = createLog(config.logLevel);

  const lock = await lockDataDirectory(config.dataDir);
  const lockedAt = clock.now();
  closers.push(() => log.info("stopped"));
  closers.push(() => lock.release());
  const store = await openSqliteStore({ path: join(config.dataDir, "offpeak.db"), clock });
  closers.push(() => store.close());
  // The lock says that whoever held leases here is dead.
  await store.voidLeases();
  const blobs = await openDiskBlobStore({ directory: config.dataDir });
  closers.push(() => blobs.close());

  const metrics = createMetrics(() => store.batches.countByStatus());
  const upstreams = config.upstreams.map((upstream) => ({
    concurrency: upstream.concurrency,
    upstream: new HttpUpstream({
      name: upstream.name,
      baseUrls: upstream.baseUrls,
      apiKey: upstream.apiKey?.reveal() ?? null,
      models: upstream.models ?? null,
      endpoints: upstream.endpoints,
      requestTimeoutMs: config.requestTimeoutMs,
      answerSizeBytes: config.limits.answerSizeBytes,
      clock,
    }),
  }));
  for (const { upstream } of upstreams) closers.push(() => upstream.close());
  const lanes = new Lanes({
    upstreams,
    modelAliases: config.modelAliases,
    models: store.models,
    clock,
    log,
    metrics,
  });
  closers.push(() => lanes.close());
  await lanes.start();

  const engine = new Engine({
    store,
    blobs,
    lanes,
    signals,
    clock,
    log,
    metrics,
    settings: config,
    aloneSince: lockedAt,
  });
  closers.push(() => engine.stop());
  engine.start();

  const startedAt = clock.now();
  const app = buildApp({
    files: new FileService({
      files: store.files,
      blobs,
      signals,
      clock,
      limits: config.limits,
      freeSpaceFloorBytes: config.freeSpaceFloorBytes,
    }),
    batches: new BatchService({ batches: store.batches, signals, clock }),
    metrics,
    log,
    listModels: () => lanes.names().map((id) => ({ id, createdAt: startedAt, ownedBy: "offpeak" })),
    readiness: () => {
      const checks = lanes.report();
      // A paused lane is no reason to send clients elsewhere: it takes batches all the same.
      const ready = checks.some(({ model, state }) => model === null && state === "ok");
      return { ready, checks };
    },
    anyHost: config.insecureNoAuth,
  });
  closers.push(() => app.close());
  closers.push(() => log.info("stopping; requests in flight may finish for a few seconds"));
  return app.listen({ host: config.host, port: config.port });
}
