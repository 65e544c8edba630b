// The numbered steps that build the tables. A step that has been released is never edited: databases
// of its version exist. A database newer than this program is refused, untouched; and so is, by who wants the
// Store, one that holds a part of what `offpeak migrate` was to move there.

import { sql } from "kysely";
import { schemaVersion1 } from "./schema-version-1.ts";
import { schemaVersion2 } from "./schema-version-2.ts";
import { schemaVersion3 } from "./schema-version-3.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

/** The database was written by a newer Offpeak. */
export class SchemaVersionError extends Error {
  override readonly name = "SchemaVersionError";
}

/** The database holds a part of the data that was to be moved into it. */
class UnfinishedMigrationError extends Error {
  override readonly name = "UnfinishedMigrationError";
}

/** The statements that lead from one version to the next; the first one makes version 1. */
const steps: readonly ((database: SqlDatabase) => readonly string[])[] = [
  schemaVersion1,
  schemaVersion2,
  schemaVersion3,
];

/** Brings the database to the newest version, in one transaction. Throws SchemaVersionError. */
export async function migrate(database: SqlDatabase): Promise<void> {
  await database.write(async (tx) => {
    await database.lock(tx, "schema");
    const version = await currentVersion(tx);
    if (version > steps.length) {
      throw new SchemaVersionError(
        `The database ${database.location} has schema version ${version}; this Offpeak knows ` +
          `versions up to ${steps.length}. Start the newer Offpeak that wrote it, or another database.`,
      );
    }
    for (const step of steps.slice(version)) {
      for (const statement of step(database)) await sql.raw(statement).execute(tx);
    }
    if (version === 0) {
      await tx.insertInto("schema_version").values({ version: steps.length }).execute();
    } else if (version < steps.length) {
      await tx.updateTable("schema_version").set({ version: steps.length }).execute();
    }
  });
}

/** Throws UnfinishedMigrationError while a move of all data into the database has not been finished. */
export async function requireWhole(database: SqlDatabase): Promise<void> {
  const note = await database.read((tx) =>
    tx.selectFrom("migration").select("id").executeTakeFirst(),
  );
  if (note === undefined) return;
  throw new UnfinishedMigrationError(
    `The database ${database.location} holds a part of the data that \`offpeak migrate\` was to move there. ` +
      "Run the same `offpeak migrate` again, which goes on where it was, and start this afterwards.",
  );
}

async function currentVersion(tx: Tx): Promise<number> {
  await sql`create table if not exists schema_version (version integer not null)`.execute(tx);
  const row = await tx.selectFrom("schema_version").select("version").executeTakeFirst();
  return row?.version ?? 0;
}
