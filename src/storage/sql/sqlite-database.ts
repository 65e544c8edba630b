// SQLite as the stores see it: transactions take turns on one connection of node:sqlite, in WAL mode
// with synchronous=FULL, so that a commit is on the disk when it returns. The clock given judges leases.

import { AsyncLocalStorage } from "node:async_hooks";
import { DatabaseSync } from "node:sqlite";
import { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from "kysely";
import type { Clock } from "../../core/clock.ts";
import type { Tables } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";
import { SqliteDriver, retryWhileBusy } from "./sqlite-driver.ts";

const CACHE_KIB = 16_384;

export interface SqliteOptions {
  /** A file, or ":memory:". */
  path: string;
  clock: Clock;
  /** How long to wait for another process that has locked the database, before giving up. */
  busyLimitMs: number;
}

export class SqliteDatabase implements SqlDatabase {
  readonly location: string;
  readonly sequenceType = "integer primary key autoincrement";
  readonly #clock: Clock;
  readonly #busyLimitMs: number;
  readonly #connection: DatabaseSync;
  readonly #kysely: Kysely<Tables>;
  /** Set inside a transaction: another one, started from there, would wait for itself. */
  readonly #inTransaction = new AsyncLocalStorage<true>();

  constructor({ path, clock, busyLimitMs }: SqliteOptions) {
    this.location = path;
    this.#clock = clock;
    this.#busyLimitMs = busyLimitMs;
    this.#connection = new DatabaseSync(path, { timeout: 0 });
    this.#kysely = new Kysely<Tables>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new SqliteDriver(this.#connection, { busyLimitMs }),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
  }

  /** Settings of the connection, to be made once. On macOS only fullfsync reaches the disk. */
  async configure(): Promise<void> {
    await retryWhileBusy(this.#busyLimitMs, () => {
      this.#connection.exec(`
        pragma journal_mode = wal;
        pragma synchronous = full;
        pragma fullfsync = on;
        pragma checkpoint_fullfsync = on;
        pragma foreign_keys = on;
        pragma cache_size = -${CACHE_KIB};
      `);
    });
  }

  read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transact("read only", work);
  }

  write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transact("read write", work);
  }

  now() {
    return sql.val(this.#clock.now());
  }

  elements(list: readonly object[]) {
    return sql<{ value: unknown }>`json_each(${JSON.stringify(list)})`.as<"item">(sql`item`);
  }

  members(column: string): string {
    return `json_each(${column})`;
  }

  async close(): Promise<void> {
    await this.#kysely.destroy();
    if (this.#connection.isOpen) this.#connection.close();
  }

  async #transact<T>(
    accessMode: "read only" | "read write",
    work: (tx: Tx) => Promise<T>,
  ): Promise<T> {
    if (this.#inTransaction.getStore()) {
      throw new Error("A transaction was started inside another one: use the one that is open.");
    }
    return this.#kysely
      .transaction()
      .setAccessMode(accessMode)
      .execute((tx) => this.#inTransaction.run(true, () => work(tx)));
  }
}
