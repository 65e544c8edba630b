// The composition root: makes the parts of a server from its configuration, introduces them to each
// other, and starts and stops them in order. With `workers/` the only place that knows the adapters.

import { hostname } from "node:os";
import { BatchService } from "./batches/batch-service.ts";
import { ConfigError } from "./config/config-error.ts";
import type { Config } from "./config/config.ts";
import { projectLimitsOf } from "./config/project-config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { batchEndpoints } from "./core/endpoints.ts";
import { newNodeId } from "./core/ids.ts";
import { isLoopback } from "./core/loopback.ts";
import { runsBatches, servesClients } from "./core/node-store.ts";
import { Signals, workSignals } from "./core/signals.ts";
import type { Store } from "./core/store.ts";
import type { DueDelivery } from "./core/webhook-store.ts";
import { Sweeping } from "./engine/sweeping.ts";
import { FileService } from "./files/file-service.ts";
import { type ClientServices, buildApp } from "./http/app.ts";
import { IdempotencyKeys } from "./http/idempotency.ts";
import type { Readiness } from "./http/routes/operations.ts";
import type { Lanes } from "./lanes/lanes.ts";
import { type MigrationEnd, type MigrationResult, migrateData } from "./migration/migration.ts";
import type { Report } from "./migration/progress-tracker.ts";
import { OutgoingUrlError, checkOutgoingUrl } from "./network/outgoing-url.ts";
import { Membership } from "./nodes/membership.ts";
import { SharedClock } from "./nodes/shared-clock.ts";
import { type Log, createLog } from "./observability/log.ts";
import { snapshotOf, textOf } from "./observability/metrics-sum.ts";
import { createMetrics } from "./observability/metrics.ts";
import { ApiKeys } from "./projects/api-keys.ts";
import { ProjectWebhooks } from "./projects/project-webhooks.ts";
import { SecretBox } from "./projects/secret-box.ts";
import { lockDataDirectory } from "./storage/disk/data-directory-lock.ts";
import { createFolder } from "./storage/disk/durable-folders.ts";
import { keepSecretKey, secretKeyOf } from "./storage/disk/secret-key-file.ts";
import { UploadService } from "./uploads/upload-service.ts";
import { WebhookDeliverer } from "./webhooks/webhook-deliverer.ts";
import { type WebhookRequestOptions, sendWebhook } from "./webhooks/webhook-request.ts";
import { type EngineSurroundings, engineOf, startLanes } from "./workers/engine-parts.ts";
import { connectNodes, hasDatabase, openBlobs, openRows, openStore } from "./workers/storage.ts";
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

/** Where all data of a server is to be: in what nodes share, or in its data directory. */
export type MigrationTarget = "shared" | "data-dir";

export interface Migration extends MigrationResult {
  source: string;
  target: string;
  /** Whether the data directory that is the target has the secret key (see keepSecretKey); null: it is the source. */
  secretKey: "kept" | "other" | "unfit" | null;
}

/**
 * Moves all data between the data directory and what nodes share, both of one configuration. Throws an error that
 * says what to do; run again, it goes on where it was.
 */
export async function migrate(
  config: Config,
  to: MigrationTarget,
  report: Report,
): Promise<Migration> {
  const { storage, dataDir, secretKey } = config;
  if (storage === undefined || secretKey === undefined) {
    throw new ConfigError(
      "database_url and blob_url are not set: say which PostgreSQL database and S3 bucket the nodes share, with " +
        "--database-url (OFFPEAK_DATABASE_URL) and --blob-url (OFFPEAK_BLOB_URL).",
    );
  }
  if (to === "shared" && !(await hasDatabase(dataDir))) {
    throw new ConfigError(
      `data_dir: no server has had its data in ${dataDir}. Name its directory with --data-dir.`,
    );
  }
  await using closers = new AsyncDisposableStack();
  const lock = await lockDataDirectory(dataDir);
  closers.defer(() => lock.release());
  const embedded = { ...config, storage: undefined };
  const directory = await openEnd(embedded, closers, () => `the data directory ${dataDir}`);
  const shared = await openEnd(
    config,
    closers,
    (database) => `the nodes' storage (${database} and ${config.blobUrl})`,
  );
  const [source, target] = to === "shared" ? [directory, shared] : [shared, directory];
  const secrets = new SecretBox(secretKey.reveal());
  const unseal = (sealed: string) => void secrets.open(sealed);
  const result = await migrateData({ source, target, now: systemClock.now(), unseal, report });
  const kept = to === "shared" ? null : await keepSecretKey(dataDir, secretKey.reveal());
  return { ...result, source: source.name, target: target.name, secretKey: kept };
}

async function openEnd(
  config: Config,
  closers: AsyncDisposableStack,
  nameOf: (database: string) => string,
): Promise<MigrationEnd> {
  const { store, rows } = await openRows(config, systemClock);
  closers.defer(() => store.close());
  // What is read back must come from the bucket.
  const blobs = await openBlobs({ ...config, cacheSizeBytes: 0 }, createLog(config.logLevel));
  closers.defer(() => blobs.close());
  return { name: nameOf(rows.location), rows, blobs, store };
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
  const isOpen = await keys.isOpen();
  if (isLoopback(host) || insecureNoAuth || !isOpen) return;
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
  const clock = new SharedClock(systemClock);
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
  const isShared = config.storage !== undefined;
  // The lock says that whoever held leases here is dead.
  if (!isShared) await store.voidLeases();
  const blobs = await openBlobs(config, log);
  closers.push(() => blobs.close());
  const limitsOf = (projectId: string) => projectLimitsOf(config, projectId);
  const metrics = createMetrics(store.batches);
  const surroundings = { config, store, clock, log, metrics };
  const nodeId = newNodeId();
  const secrets = await secretsOf(config);
  const bus = await connectNodes(config, signals);
  closers.push(() => bus.close());
  const membership = isShared
    ? membershipOf({ ...surroundings, clock }, nodeId, { signals, secrets })
    : null;
  const { lanes, close: closeLanes } = await startLanes(surroundings, {
    turnOf: membership ? (upstream) => membership.turnOf(upstream) : undefined,
    share: membership ?? undefined,
  });
  closers.push(closeLanes);
  if (membership) {
    membership.report(() => lanes.loads());
    const learn = () => {
      lanes.sharesChanged();
      metrics.showNodes(membership.living.map(({ role }) => role));
    };
    membership.onChange(learn);
    await membership.start();
    learn();
    closers.push(() => membership.stop());
  }

  const sweeping = new Sweeping({
    store,
    blobs,
    signals,
    clock,
    log,
    aloneSince: isShared ? null : lockedAt,
    isOurs: () => membership?.isFirst ?? true,
  });
  closers.push(() => sweeping.stop());
  sweeping.start();
  const workers = config.workers > 0 ? new Workers({ ...surroundings, signals }) : null;
  if (runsBatches(config.role)) {
    const running = workers ?? engineOf(surroundings, { nodeId, blobs, lanes, signals });
    closers.push(async () => {
      await running.stop();
      // What was handed back is there for other nodes.
      for (const name of workSignals) signals.emit(name);
    });
    running.start();
  }

  if (servesClients(config.role)) {
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
  }

  const startedAt = clock.now();
  const { freeSpaceFloorBytes, limits } = config;
  const kept = { blobs, signals, clock, limits, limitsOf, freeSpaceFloorBytes };
  const services: ClientServices = {
    files: new FileService({ ...kept, files: store.files }),
    uploads: new UploadService({ ...kept, files: store.files, uploads: store.uploads }),
    batches: new BatchService({ ...kept, batches: store.batches }),
    idempotency: new IdempotencyKeys(store.idempotency, clock, isShared ? nodeId : null),
    endpoints: batchEndpoints(config.upstreams.flatMap(({ endpoints }) => endpoints)),
    webhooks: projectWebhooksOf(config, store, signals, secrets, clock),
    listModels: () => lanes.names().map((id) => ({ id, createdAt: startedAt, ownedBy: "offpeak" })),
  };
  const app = buildApp({
    services: servesClients(config.role) ? services : null,
    keys,
    metrics,
    log,
    exposeMetrics: async () => {
      lanes.publishInFlight();
      if (!workers) return metrics.registry.metrics();
      return textOf([await snapshotOf(metrics.registry), ...(await workers.metrics())]);
    },
    readiness: () => readinessOf(lanes, workers, membership),
    anyHost: config.insecureNoAuth,
  });
  closers.push(() => app.close());
  closers.push(() => log.info("stopping; requests in flight may finish for a few seconds"));
  return app.listen({ host: config.host, port: config.port });
}

function membershipOf(
  { config, store, clock, log }: EngineSurroundings & { clock: SharedClock },
  id: string,
  { signals, secrets }: { signals: Signals; secrets: SecretBox },
): Membership {
  const { role, leaseMs: lifeMs } = config;
  return new Membership({
    nodes: store.nodes,
    id,
    role,
    host: hostname(),
    secretKeyId: secrets.keyId,
    lifeMs,
    signals,
    clock,
    log,
  });
}

async function readinessOf(
  lanes: Lanes,
  workers: Workers | null,
  membership: Membership | null,
): Promise<Readiness> {
  const checks = lanes.report();
  // A paused lane is no reason to send clients elsewhere: it takes batches all the same.
  const isKnown = checks.some(({ model, state }) => model === null && state === "ok");
  if (membership) {
    const { isTrusted, problem, living, id } = membership;
    const state = problem === null ? "ok" : "unreachable";
    return {
      ready: isKnown && isTrusted,
      checks,
      database: { state, reason: problem },
      // What others have is what they said last; of this one more is known.
      nodes: living.map((node) =>
        node.id === id
          ? { ...node, lanes: lanes.loads(), isSelf: true }
          : { ...node, isSelf: false },
      ),
    };
  }
  if (!workers) return { ready: isKnown, checks };
  const states = workers.states();
  const someWork = states.some(({ state }) => state !== "down");
  return {
    ready: isKnown && someWork,
    checks: [...checks, ...(await workers.lanes())],
    workers: states,
  };
}
