// The connection to node:sqlite on which all statements run, prepared once. SQLite itself never waits
// for a lock, for that would stop the event loop; what finds the database busy is tried again.

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { CompiledQuery, DatabaseConnection, QueryResult } from "kysely";
import { StorageFullError } from "../../core/store.ts";

const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
const LONGEST_WAIT_MS = 25;
const STATEMENTS_KEPT = 200;

/** Another process kept the database locked for longer than is ever needed. */
class DatabaseBusyError extends Error {
  override readonly name = "DatabaseBusyError";
}

interface Prepared {
  statement: StatementSync;
  returnsRows: boolean;
}

/** Whoever opened `database` closes it. */
export class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #busyLimitMs: number;
  /** In order of use, the least recent first. */
  readonly #prepared = new Map<string, Prepared>();

  constructor(database: DatabaseSync, options: { busyLimitMs: number }) {
    this.#database = database;
    this.#busyLimitMs = options.busyLimitMs;
  }

  executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    return retryWhileBusy(this.#busyLimitMs, () => {
      const { statement, returnsRows } = this.#prepare(sql);
      const values = parameters as SQLInputValue[];
      if (returnsRows) return { rows: statement.all(...values) as R[] };
      return { rows: [], numAffectedRows: BigInt(statement.run(...values).changes) };
    });
  }

  /** Runs a statement that has neither values nor rows. */
  run(command: string): Promise<void> {
    return retryWhileBusy(this.#busyLimitMs, () => {
      this.#prepare(command).statement.run();
    });
  }

  streamQuery(): never {
    throw new Error("Rows are not streamed from SQLite: read them in pages.");
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (prepared === undefined) {
      const statement = this.#database.prepare(sql);
      prepared = { statement, returnsRows: statement.columns().length > 0 };
    } else {
      this.#prepared.delete(sql);
    }
    this.#prepared.set(sql, prepared);
    if (this.#prepared.size > STATEMENTS_KEPT) {
      const [oldest] = this.#prepared.keys();
      this.#prepared.delete(oldest!);
    }
    return prepared;
  }
}

/**
 * Runs `attempt` until it does not find the database busy; such an attempt has changed nothing.
 * Throws DatabaseBusyError after `limitMs`.
 */
export async function retryWhileBusy<T>(limitMs: number, attempt: () => T): Promise<T> {
  const startedAt = performance.now();
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      return attempt();
    } catch (error) {
      if (hasCode(error, SQLITE_FULL)) {
        throw new StorageFullError("There is no disk space left for the database.", {
          cause: error,
        });
      }
      if (!hasCode(error, SQLITE_BUSY)) throw error;
      if (performance.now() - startedAt >= limitMs) {
        throw new DatabaseBusyError(
          `The database was locked by another process for more than ${limitMs} ms.`,
          { cause: error },
        );
      }
    }
    await sleep(waitMs * (0.5 + Math.random() / 2));
  }
}

/** Extended codes keep the primary code in their low byte. */
function hasCode(error: unknown, code: number): boolean {
  return (
    error instanceof Error && "errcode" in error && ((error.errcode as number) & 0xff) === code
  );
}
