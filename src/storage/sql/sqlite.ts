// Opens the Store on SQLite.

import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../../core/clock.ts";
import type { RowStore } from "../../core/row-store.ts";
import type { Store } from "../../core/store.ts";
import { SchemaVersionError, migrate } from "./migrations.ts";
import { sqlRows } from "./sql-rows.ts";
import { sqlStore, wholeStore } from "./sql-store.ts";
import { SqliteDatabase } from "./sqlite-database.ts";

const IN_MEMORY = ":memory:";
const BUSY_LIMIT_MS = 10_000;

interface SqliteStoreOptions {
  path: string;
  clock: Clock;
}

/**
 * Opens the database file `path`, creating it in its existing folder, or one in memory. Throws SchemaVersionError
 * when a newer Offpeak wrote it, UnfinishedMigrationError when a move into it has not been finished, and an Error
 * that names the file when it cannot be used.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  return wholeStore(await openDatabase(options));
}

/** The same with its rows, to be moved; also while a move into it has not been finished. */
export async function openSqliteRows(
  options: SqliteStoreOptions,
): Promise<{ store: Store; rows: RowStore }> {
  const database = await openDatabase(options);
  return { store: sqlStore(database), rows: sqlRows(database) };
}

async function openDatabase({ path, clock }: SqliteStoreOptions): Promise<SqliteDatabase> {
  try {
    const database = new SqliteDatabase({ path, clock, busyLimitMs: BUSY_LIMIT_MS });
    try {
      await database.configure();
      await migrate(database);
      if (path !== IN_MEMORY) await syncFolder(dirname(path));
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof SchemaVersionError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot use ${path} as the database: ${reason}. It must be a database of Offpeak, ` +
        `or a new file in a folder that exists and can be written.`,
      { cause: error },
    );
  }
}

/** The entry of a new database in its folder is to outlive a power cut too. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
