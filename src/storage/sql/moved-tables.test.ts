import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { movedTables } from "./moved-tables.ts";
import { openSqliteStore } from "./sqlite.ts";

const NOT_MOVED = ["schema_version", "migration", "nodes", "sqlite_sequence"];

async function newestTables(): Promise<DatabaseSync> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-tables-"));
  const path = join(folder, "offpeak.db");
  await (await openSqliteStore({ path, clock: systemClock })).close();
  const database = new DatabaseSync(path);
  onTestFinished(async () => {
    database.close();
    await rm(folder, { recursive: true });
  });
  return database;
}

function column(database: DatabaseSync, query: string): unknown[] {
  return database
    .prepare(query)
    .all()
    .map((row) => Object.values(row)[0]);
}

test("every table is moved, or is known not to be", async () => {
  const database = await newestTables();
  const tables = column(database, "select name from sqlite_master where type = 'table'");
  expect(new Set([...movedTables.keys(), ...NOT_MOVED])).toEqual(new Set(tables));
});

test("each is known by its primary key, its numbering and what the database works out", async () => {
  const database = await newestTables();
  for (const [table, { key, isNumbered = false, generated = [] }] of movedTables) {
    const of = `pragma_table_xinfo('${table}')`;
    expect(column(database, `select name from ${of} where pk > 0 order by pk`)).toEqual(key);
    expect(column(database, `select name from ${of} where hidden > 0`)).toEqual(generated);
    const made = column(database, `select sql from sqlite_master where name = '${table}'`);
    expect(/autoincrement/.test(String(made))).toBe(isNumbered);
  }
});

test("each comes behind those that its rows refer to", async () => {
  const database = await newestTables();
  const order = [...movedTables.keys()];
  for (const [at, table] of order.entries()) {
    const referredTo = column(
      database,
      `select "table" from pragma_foreign_key_list('${table}')`,
    ) as string[];
    for (const other of referredTo) expect(order.indexOf(other)).toBeLessThan(at);
  }
});
