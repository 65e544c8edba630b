// The composition root: makes the parts of a server from its configuration, introduces them to each
// other, and starts and stops them in order. With `workers/engine-parts.ts` the only place that knows the adapters.

import { BatchService } from "./batches/batch-service.ts";
import { ConfigError } from "./config/config-error.ts";
import type { Config } from "./config/config.ts";
import { projectLimitsOf } from "./config/project-config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { batchEndpoints } from "./core/endpoints.ts";
import { newNodeId } from "./core/ids.ts";
import { isLoopback } from "./core/loopback.ts";
import { Signals } from "./core/signals.ts";
import type { Store } from "./core/store.ts";
import type { DueDelivery } from "./core/webhook-store.ts";
import { Sweeping } from "./engine/sweeping.ts";
import { FileService } from "./files/file-service.ts";
import { buildApp } from "./http/app.ts";
import { IdempotencyKeys } from "./http/idempotency.ts";
import type { Readiness } from "./http/routes/operations.ts";
import type { Lanes } from "./lanes/lanes.ts";
import { OutgoingUrlError, checkOutgoingUrl } from "./network/outgoing-url.ts";
import { type Log, createLog } from "./observability/log.ts";
import { snapshotOf, textOf } from "./observability/metrics-sum.ts";
import { createMetrics } from "./observability/metrics.ts";
import { ApiKeys } from "./projects/api-keys.ts";
import { ProjectWebhooks } from "./projects/project-webhooks.ts";
import { SecretBox } from "./projects/secret-box.ts";
import { lockDataDirectory } from "./storage/disk/data-directory-lock.ts";
import { openDiskBlobStore } from "./storage/disk/disk-blob-store.ts";
import { createFolder } from "./storage/disk/durable-folders.ts";
import { secretKeyOf } from "./storage/disk/secret-key-file.ts";
import { UploadService } from "./uploads/upload-service.ts";
import { WebhookDeliverer } from "./webhooks/webhook-deliverer.ts";
import { type WebhookRequestOptions, sendWebhook } from "./webhooks/webhook-request.ts";
import { engineOf, openStore, startLanes } from "./workers/engine-parts.ts";
import { Workers } from "./workers/workers.ts";

export interface RunningServer {
  /** Where it listens, such as `http://127.0.0.1:8024`. */
  url: string;
  /** Takes no more requests or work, hands back what it has, and closes everything. */
  stop(): Promise<void>;
}

/** What can be done to a server's data beside a running server. */
export interface Administration extends AsyncDisposable {
  keys: ApiKeys;
  webhooks: ProjectWebhooks;
}

/** Opens the data of a server, whether one runs on it or not. Throws an error that says what to do. */
export async function openAdministration(config: Config): Promise<Administration> {
  await createFolder(config.dataDir);
  const store = await openStore(config, systemClock);
  return {
    keys: apiKeysOf(config, store, systemClock, createLog(config.logLevel)),
    webhooks: projectWebhooksOf(config, store, new Signals(), await secretsOf(config), systemClock),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

function apiKeysOf({ adminKey }: Config, { keys }: Store, clock: Clock, log: Log): ApiKeys {
  return new ApiKeys({ keys, clock, log, adminKey: adminKey?.reveal() });
}

async function secretsOf({ secretKey, dataDir }: Config): Promise<SecretBox> {
  return new SecretBox(secretKey?.reveal() ?? (await secretKeyOf(dataDir)));
}

function projectWebhooksOf(
  config: Config,
  { webhooks }: Store,
  signals: Signals,
  secrets: SecretBox,
  clock: Clock,
): ProjectWebhooks {
  const { allowPrivateAddresses: allowPrivate } = config;
  const refusalOfUrl = (url: string) => {
    try {
      checkOutgoingUrl(url, { allowPrivate });
      return undefined;
    } catch (error) {
      if (error instanceof OutgoingUrlError) return error.message;
      throw error;
    }
  };
  const options = webhookOptions(config, secrets, clock);
  const sendNow = (due: DueDelivery) => sendWebhook(due, options, new AbortController().signal);
  return new ProjectWebhooks({ webhooks, secrets, signals, clock, refusalOfUrl, sendNow });
}

function webhookOptions(
  { allowPrivateAddresses }: Config,
  secrets: SecretBox,
  clock: Clock,
): WebhookRequestOptions {
  return { clock, allowPrivateAddresses, unseal: (sealed) => secrets.open(sealed) };
}

/** Throws ConfigError when strangers could use the server. */
async function checkOpenness({ host, insecureNoAuth }: Config, keys: ApiKeys): Promise<void> {
  if (isLoopback(host) || insecureNoAuth || !(await keys.isOpen())) return;
  throw new ConfigError(
    `host ${JSON.stringify(host)} can be reached from other machines, and there is no API key yet to keep ` +
      "strangers out. Make one with `offpeak keys create --project NAME` (with the same --data-dir), set " +
      "OFFPEAK_ADMIN_KEY, or leave --host at 127.0.0.1; or add --insecure-no-auth if everyone who can reach " +
      "this address may use it.",
  );
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
  const store = await openStore(config, clock);
  closers.push(() => store.close());
  const keys = apiKeysOf(config, store, clock, log);
  await checkOpenness(config, keys);
  // The lock says that whoever held leases here is dead.
  await store.voidLeases();
  const blobs = await openDiskBlobStore({ directory: config.dataDir });
  closers.push(() => blobs.close());

  const limitsOf = (projectId: string) => projectLimitsOf(config, projectId);
  const metrics = createMetrics(() => store.batches.countByStatus());
  const surroundings = { config, store, clock, log, metrics };
  const { lanes, close: closeLanes } = await startLanes(surroundings);
  closers.push(closeLanes);

  const sweeping = new Sweeping({ store, blobs, signals, clock, log, aloneSince: lockedAt });
  closers.push(() => sweeping.stop());
  sweeping.start();
  const workers = config.workers > 0 ? new Workers({ ...surroundings, signals }) : null;
  const running = workers ?? engineOf(surroundings, { nodeId: newNodeId(), blobs, lanes, signals });
  closers.push(() => running.stop());
  running.start();

  const secrets = await secretsOf(config);
  const deliverer = new WebhookDeliverer({
    ...webhookOptions(config, secrets, clock),
    store: store.webhooks,
    log,
    metrics,
    pollMs: config.pollMs,
  });
  closers.push(() => deliverer.stop());
  closers.push(signals.on("batch-ended", () => deliverer.wake()));
  deliverer.start();

  const startedAt = clock.now();
  const { freeSpaceFloorBytes, limits } = config;
  const kept = { blobs, signals, clock, limits, limitsOf, freeSpaceFloorBytes };
  const app = buildApp({
    files: new FileService({ ...kept, files: store.files }),
    uploads: new UploadService({ ...kept, files: store.files, uploads: store.uploads }),
    batches: new BatchService({ ...kept, batches: store.batches }),
    idempotency: new IdempotencyKeys(store.idempotency, clock),
    endpoints: batchEndpoints(config.upstreams.flatMap(({ endpoints }) => endpoints)),
    keys,
    webhooks: projectWebhooksOf(config, store, signals, secrets, clock),
    metrics,
    log,
    listModels: () => lanes.names().map((id) => ({ id, createdAt: startedAt, ownedBy: "offpeak" })),
    exposeMetrics: async () => {
      if (!workers) return metrics.registry.metrics();
      return textOf([await snapshotOf(metrics.registry), ...(await workers.metrics())]);
    },
    readiness: () => readinessOf(lanes, workers),
    anyHost: config.insecureNoAuth,
  });
  closers.push(() => app.close());
  closers.push(() => log.info("stopping; requests in flight may finish for a few seconds"));
  return app.listen({ host: config.host, port: config.port });
}

async function readinessOf(lanes: Lanes, workers: Workers | null): Promise<Readiness> {
  const checks = lanes.report();
  // A paused lane is no reason to send clients elsewhere: it takes batches all the same.
  const isKnown = checks.some(({ model, state }) => model === null && state === "ok");
  if (!workers) return { ready: isKnown, checks };
  const states = workers.states();
  const someWork = states.some(({ state }) => state !== "down");
  return {
    ready: isKnown && someWork,
    checks: [...checks, ...(await workers.lanes())],
    workers: states,
  };
}
