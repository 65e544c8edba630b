// A PostgreSQL and an S3 server for nodes under measurement, each behind a relay that counts, and the nodes. Every
// measurement gets a database and a prefix of its own. PostgreSQL counts the statements it is sent.

import { rmSync } from "node:fs";
import path from "node:path";
import { PostgresServer } from "../test/support/postgres-server.ts";
import { S3Server, makeBucket } from "../test/support/s3-server.ts";
import type { BenchRun } from "./bench-run.ts";
import { CountingRelay } from "./counting-relay.ts";
import { Server, type ServerOptions } from "./server.ts";

const BUCKET = "offpeak-bench";
const REGION = "us-east-1";
/** What PostgreSQL takes to end without a checkpoint, with plenty to spare. */
const END_MS = 500;
const COUNT_STATEMENTS = {
  shared_preload_libraries: "pg_stat_statements",
  "pg_stat_statements.track_utility": "on",
};

export interface Statement {
  text: string;
  calls: number;
}

/** Where nodes of one measurement share everything. */
export class Place {
  readonly name: string;
  readonly #shared: SharedServers;

  constructor(name: string, shared: SharedServers) {
    this.name = name;
    this.#shared = shared;
  }

  startNode(run: BenchRun, role: "all" | "api" | "engine", options: ServerOptions) {
    const { accessKeyId, secretAccessKey } = this.#shared.objects.access;
    const variables = {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      OFFPEAK_SECRET_KEY: "a-key-of-all-nodes-under-measurement",
      OFFPEAK_DATABASE_URL: this.#shared.databaseUrl(this.name),
      OFFPEAK_BLOB_URL: `s3://${BUCKET}/${this.name}`,
      OFFPEAK_S3_ENDPOINT: `http://127.0.0.1:${this.#shared.objectRelay.port}`,
      OFFPEAK_S3_REGION: REGION,
      OFFPEAK_S3_PATH_STYLE: "true",
      OFFPEAK_ROLE: role,
    };
    const env = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    return Server.start({ ...run, offpeak: ["env", ...env, ...run.offpeak] }, options);
  }

  async forgetStatements(): Promise<void> {
    await this.#shared.postgres.execute("select pg_stat_statements_reset()");
  }

  /** What the database was sent since they were forgotten, most frequent first. */
  async statements(): Promise<Statement[]> {
    const rows = await this.#shared.postgres.execute(
      `select query as text, sum(calls)::integer as calls
       from pg_stat_statements join pg_database on pg_database.oid = dbid
       where datname = '${this.name}' group by query order by 2 desc`,
    );
    return rows as unknown as Statement[];
  }
}

export class SharedServers implements AsyncDisposable {
  readonly postgres: PostgresServer;
  readonly objects: S3Server;
  readonly databaseRelay: CountingRelay;
  readonly objectRelay: CountingRelay;
  readonly #stack: AsyncDisposableStack;
  #places = 0;

  private constructor(
    servers: { postgres: PostgresServer; objects: S3Server },
    relays: { database: CountingRelay; objects: CountingRelay },
    stack: AsyncDisposableStack,
  ) {
    this.postgres = servers.postgres;
    this.objects = servers.objects;
    this.databaseRelay = relays.database;
    this.objectRelay = relays.objects;
    this.#stack = stack;
  }

  static async start(): Promise<SharedServers> {
    await using stack = new AsyncDisposableStack();
    const postgres = stack.use(await startPostgres(COUNT_STATEMENTS));
    await postgres.execute("create extension pg_stat_statements");
    const objects = stack.use(await S3Server.start());
    await makeBucket(objects.access, BUCKET);
    const relays = {
      database: stack.use(await CountingRelay.start(postgres.port)),
      objects: stack.use(await CountingRelay.start(Number(new URL(objects.access.url).port))),
    };
    return new SharedServers({ postgres, objects }, relays, stack.move());
  }

  /** A new database and a prefix, both empty. */
  async newPlace(): Promise<Place> {
    const name = `offpeak_${++this.#places}`;
    await this.postgres.execute(`create database ${name}`);
    return new Place(name, this);
  }

  /** Through the relay. */
  databaseUrl(database: string): string {
    const url = new URL(this.postgres.url(database));
    url.port = String(this.databaseRelay.port);
    return url.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Starts a PostgreSQL that ends with this process, also when that is interrupted. */
export async function startPostgres(
  settings: Readonly<Record<string, string>>,
): Promise<PostgresServer> {
  const postgres = await PostgresServer.start({ settings });
  const [row] = await postgres.execute("show data_directory");
  const folder = path.dirname(String(row?.["data_directory"]));
  process.once("exit", () => {
    // Its pid is 0 once it has been ended.
    if (postgres.pid === 0) return;
    process.kill(postgres.pid, "SIGQUIT");
    // There is no waiting for a child any more, and what it still writes would be left behind.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, END_MS);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  return postgres;
}
