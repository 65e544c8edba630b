// SQLite as the stores see it: transactions take turns on one connection of node:sqlite, in WAL mode
// with synchronous=FULL, so that a commit is on the disk when it returns. Writes that wait at the same
// time share a commit. The clock given judges leases.

import { AsyncLocalStorage } from "node:async_hooks";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurnOfLoop } from "node:timers/promises";
import { SqliteAdapter, sql } from "kysely";
import type { RawBuilder } from "kysely";
import type { Clock } from "../../core/clock.ts";
import { queriesOn } from "./queries-on.ts";
import type { ElementColumns, ElementOf, SqlDatabase, Tx } from "./sql-database.ts";
import { SqliteConnection, retryWhileBusy } from "./sqlite-connection.ts";
import { SqliteStatements } from "./sqlite-statements.ts";

const CACHE_KIB = 16_384;
/** Transactions that share one commit. */
const MOST_TOGETHER = 100;

export interface SqliteOptions {
  /** A file, or ":memory:". */
  path: string;
  clock: Clock;
  /** How long to wait for another process that has locked the database, before giving up. */
  busyLimitMs: number;
}

/** A transaction that waits for its turn. */
interface Turn {
  writes: boolean;
  /** Does its work; answers what tells the caller of the result, for when it is durable. */
  perform: () => Promise<() => void>;
  reject: (error: unknown) => void;
}

export class SqliteDatabase implements SqlDatabase {
  readonly location: string;
  readonly sequenceType = "integer primary key autoincrement";
  readonly #clock: Clock;
  readonly #busyLimitMs: number;
  readonly #database: DatabaseSync;
  readonly #connection: SqliteConnection;
  readonly #tx: Tx;
  /** In the order in which they were asked for. */
  readonly #turns: Turn[] = [];
  #isTakingTurns = false;
  /** Set inside a transaction: another one, started from there, would wait for itself. */
  readonly #inTransaction = new AsyncLocalStorage<true>();

  constructor({ path, clock, busyLimitMs }: SqliteOptions) {
    this.location = path;
    this.#clock = clock;
    this.#busyLimitMs = busyLimitMs;
    this.#database = new DatabaseSync(path, { timeout: 0 });
    this.#connection = new SqliteConnection(this.#database, { busyLimitMs });
    const spelling = { adapter: new SqliteAdapter(), compiler: new SqliteStatements() };
    this.#tx = queriesOn(spelling, this.#connection);
  }

  /** Settings of the connection, to be made once. On macOS only fullfsync reaches the disk. */
  async configure(): Promise<void> {
    await retryWhileBusy(this.#busyLimitMs, () => {
      this.#database.exec(`
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
    return this.#inTurn(false, work);
  }

  snapshot<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#inTurn(false, work);
  }

  write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#inTurn(true, work);
  }

  repeatable<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#inTurn(true, work);
  }

  /** Whoever writes is alone anyway. */
  lock(): Promise<void> {
    return Promise.resolve();
  }

  /** It does so by itself. */
  numberOn(): Promise<void> {
    return Promise.resolve();
  }

  now() {
    return sql.val(this.#clock.now());
  }

  elements<Columns extends ElementColumns>(list: readonly ElementOf<Columns>[], columns: Columns) {
    const members = Object.keys(columns).map(
      (name) => sql`value ->> ${sql.lit(name)} as ${sql.ref(name)}`,
    );
    const rows = sql`select ${sql.join(members)} from json_each(${JSON.stringify(list)})`;
    return sql<ElementOf<Columns>>`(${rows})`.as<"item">(sql`item`);
  }

  isOneOf(text: string | RawBuilder<string>, texts: readonly string[]) {
    const list = JSON.stringify(texts);
    return sql<boolean>`${typeof text === "string" ? sql.ref(text) : text} in (select value from json_each(${list}))`;
  }

  members(column: string): string {
    return `json_each(${column})`;
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #inTurn<T>(writes: boolean, work: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.#inTransaction.getStore()) {
      throw new Error("A transaction was started inside another one: use the one that is open.");
    }
    return new Promise<T>((resolve, reject) => {
      const perform = async () => {
        const result = await this.#inTransaction.run(true, () => work(this.#tx));
        return () => resolve(result);
      };
      this.#turns.push({ writes, perform, reject });
      if (!this.#isTakingTurns) void this.#takeTurns();
    });
  }

  async #takeTurns(): Promise<void> {
    this.#isTakingTurns = true;
    for (let [next] = this.#turns; next !== undefined; [next] = this.#turns) {
      // All writes that this turn of the event loop brings share the commit, the dearest part of each.
      if (next.writes) await nextTurnOfLoop();
      await this.#transact(this.#together());
    }
    this.#isTakingTurns = false;
  }

  /** Removes and answers those whose turn it is: one read, or the writes up to the next read. */
  #together(): Turn[] {
    if (this.#turns[0]?.writes !== true) return this.#turns.splice(0, 1);
    const read = this.#turns.findIndex(({ writes }) => !writes);
    return this.#turns.splice(0, Math.min(read < 0 ? this.#turns.length : read, MOST_TOGETHER));
  }

  /** Runs them in one transaction of the database. One that throws leaves nothing, and the others stay. */
  async #transact(turns: readonly Turn[]): Promise<void> {
    const settle: (() => void)[] = [];
    try {
      // What writes takes the write lock at once: a lock taken later could not be waited for.
      await this.#connection.run(turns[0]?.writes ? "begin immediate" : "begin");
      for (const turn of turns) settle.push(await this.#perform(turn, turns.length > 1));
      await this.#connection.run("commit");
    } catch (error) {
      for (const { reject } of turns) reject(error);
      if (this.#hasTransaction) await this.#connection.run("rollback");
      return;
    }
    for (const each of settle) each();
  }

  /** False after it was lost: a full disk, for one, makes SQLite roll back by itself. */
  get #hasTransaction(): boolean {
    return this.#database.isOpen && this.#database.isTransaction;
  }

  /** Answers what tells the caller how it went; throws when the transaction is lost for all. */
  async #perform({ perform, reject }: Turn, isShared: boolean): Promise<() => void> {
    if (!isShared) return perform();
    await this.#connection.run("savepoint turn");
    try {
      const settle = await perform();
      await this.#connection.run("release turn");
      return settle;
    } catch (error) {
      if (!this.#hasTransaction) throw error;
      await this.#connection.run("rollback to turn");
      await this.#connection.run("release turn");
      return () => reject(error);
    }
  }
}
