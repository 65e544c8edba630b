// Opens the Store on PostgreSQL.

import type { RowStore } from "../../core/row-store.ts";
import type { Store } from "../../core/store.ts";
import { SchemaVersionError, migrate } from "./migrations.ts";
import { PostgresDatabase } from "./postgres-database.ts";
import type { PostgresOptions } from "./postgres-database.ts";
import { sqlRows } from "./sql-rows.ts";
import { sqlStore, wholeStore } from "./sql-store.ts";

/**
 * Opens the database, and makes or renews its tables; nodes that start at the same time take turns. Throws
 * SchemaVersionError when a newer Offpeak wrote it, UnfinishedMigrationError when a move into it has not been
 * finished, and an Error that names the database when it cannot be used.
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  return wholeStore(await openDatabase(options));
}

/** The same with its rows, to be moved; also while a move into it has not been finished. */
export async function openPostgresRows(
  options: PostgresOptions,
): Promise<{ store: Store; rows: RowStore }> {
  const database = await openDatabase(options);
  return { store: sqlStore(database), rows: sqlRows(database) };
}

async function openDatabase(options: PostgresOptions): Promise<PostgresDatabase> {
  const database = new PostgresDatabase(options);
  try {
    await migrate(database);
    return database;
  } catch (error) {
    await database.close();
    if (error instanceof SchemaVersionError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot use the database ${database.location}: ${reason}. It must be a PostgreSQL database (15 or newer) ` +
        "that can be reached from here, of which the user may make tables.",
      { cause: error },
    );
  }
}
