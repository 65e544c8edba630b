// Opens what a process works on: the data directory of one server with its workers, or the database and the
// bucket that several nodes share. Like `main.ts` it knows the adapters; those for sharing are loaded only when
// they are used.
import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { RowStore } from "../core/row-store.ts";
import type { Signals } from "../core/signals.ts";
import type { Store } from "../core/store.ts";
import type { Log } from "../observability/log.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { openSqliteRows, openSqliteStore } from "../storage/sql/sqlite.ts";

export async function openStore(config: Config, clock: Clock): Promise<Store> {
  const { storage, dataDir, databaseConnections } = config;
  if (storage === undefined) return openSqliteStore({ path: databasePath(dataDir), clock });
  const { openPostgresStore } = await import("../storage/sql/postgres.ts");
  const url = storage.databaseUrl.reveal();
  return openPostgresStore({ url, connections: databaseConnections });
}

/** The same with its rows, to be moved; also while a move into it has not been finished. */
export async function openRows(
  { storage, dataDir, databaseConnections }: Config,
  clock: Clock,
): Promise<{ store: Store; rows: RowStore }> {
  if (storage === undefined) return openSqliteRows({ path: databasePath(dataDir), clock });
  const { openPostgresRows } = await import("../storage/sql/postgres.ts");
  const url = storage.databaseUrl.reveal();
  return openPostgresRows({ url, connections: databaseConnections });
}

/** Whether a server has had all its data in this directory. */
export async function hasDatabase(dataDir: string): Promise<boolean> {
  return access(databasePath(dataDir)).then(
    () => true,
    () => false,
  );
}

function databasePath(dataDir: string): string {
  return join(dataDir, "offpeak.db");
}

/** @param worker of a server with all in its data directory: which one this is */
export async function openBlobs(config: Config, log: Log, worker?: number): Promise<BlobStore> {
  const { storage, dataDir } = config;
  if (storage === undefined) return openDiskBlobStore({ directory: dataDir, worker });
  const { openS3BlobStore } = await import("../storage/s3/s3-blob-store.ts");
  return openS3BlobStore({
    bucket: storage.bucket,
    prefix: storage.prefix,
    endpoint: config.s3Endpoint || undefined,
    region: config.s3Region || undefined,
    pathStyle: config.s3PathStyle,
    encryption: config.s3Encryption,
    kmsKeyId: config.s3KmsKeyId || undefined,
    cacheDirectory: join(dataDir, "cache"),
    cacheBytes: config.cacheSizeBytes,
    log,
  });
}

/** Takes signals to the other nodes and brings theirs, until it is closed. */
export async function connectNodes(
  { storage }: Config,
  signals: Signals,
): Promise<{ close(): Promise<void> }> {
  if (storage === undefined) return { close: () => Promise.resolve() };
  const { PostgresSignals } = await import("../storage/sql/postgres-signals.ts");
  const bus = new PostgresSignals(storage.databaseUrl.reveal(), signals);
  await bus.start();
  return bus;
}
