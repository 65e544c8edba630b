import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { sql } from "kysely";
import { expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { migrate } from "./migrations.ts";
import type { Tx } from "./sql-database.ts";
import { SqliteDatabase } from "./sqlite-database.ts";

async function openDatabase(path = ":memory:", busyLimitMs = 10_000): Promise<SqliteDatabase> {
  const database = new SqliteDatabase({ path, clock: systemClock, busyLimitMs });
  onTestFinished(() => database.close());
  await database.configure();
  await migrate(database);
  return database;
}

async function temporaryPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-sqlite-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, "offpeak.db");
}

function save(tx: Tx, upstream: string) {
  return tx
    .insertInto("upstream_models")
    .values({ upstream, models: "[]", discovered_at: 1 })
    .execute();
}

async function saved(database: SqliteDatabase): Promise<string[]> {
  const rows = await database.read((tx) =>
    tx.selectFrom("upstream_models").select("upstream").orderBy("upstream").execute(),
  );
  return rows.map((row) => row.upstream);
}

it("lets transactions take turns, whatever they wait for inside", async () => {
  const database = await openDatabase();
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  const order: string[] = [];
  const slow = database.write(async (tx) => {
    await save(tx, "slow");
    await gate;
    order.push("slow");
  });
  const quick = database.write(async (tx) => {
    await save(tx, "quick");
    order.push("quick");
  });
  const reader = saved(database).then((names) => order.push(names.join()));
  openGate();
  await Promise.all([slow, quick, reader]);
  expect(order).toEqual(["slow", "quick", "quick,slow"]);
});

it("leaves nothing of a transaction that throws", async () => {
  const database = await openDatabase();
  await expect(
    database.write(async (tx) => {
      await save(tx, "undone");
      throw new Error("changed my mind");
    }),
  ).rejects.toThrow("changed my mind");
  await database.write((tx) => save(tx, "kept"));
  expect(await saved(database)).toEqual(["kept"]);
});

it("refuses a transaction inside a transaction, instead of waiting for itself for ever", async () => {
  const database = await openDatabase();
  await expect(database.write(() => saved(database))).rejects.toThrow("inside another one");
  expect(await saved(database)).toEqual([]);
});

it("commits so that a power cut loses nothing", async () => {
  const path = await temporaryPath();
  const database = await openDatabase(path);
  const settings = await database.read((tx) =>
    sql`select * from pragma_journal_mode, pragma_synchronous, pragma_foreign_keys`.execute(tx),
  );
  expect(settings.rows).toEqual([{ journal_mode: "wal", synchronous: 2, foreign_keys: 1 }]);
});

it("waits for another process without stopping this one", async () => {
  const path = await temporaryPath();
  const database = await openDatabase(path);
  const other = new DatabaseSync(path);
  onTestFinished(() => other.close());
  other.exec("begin immediate");
  const written = database.write((tx) => save(tx, "patient"));
  // Were the thread stopped, this would never come, and the lock never go.
  await new Promise((resolve) => setImmediate(resolve));
  other.exec("rollback");
  await written;
  expect(await saved(database)).toEqual(["patient"]);
});

it("gives up when another process keeps the database locked", async () => {
  const path = await temporaryPath();
  const database = await openDatabase(path, 20);
  const other = new DatabaseSync(path);
  onTestFinished(() => other.close());
  other.exec("begin immediate");
  await expect(database.write((tx) => save(tx, "late"))).rejects.toThrow(
    "locked by another process for more than 20 ms",
  );
  other.exec("rollback");
  expect(await saved(database)).toEqual([]);
});

it("keeps working with more different statements than it keeps prepared", async () => {
  const database = await openDatabase();
  await database.read(async (tx) => {
    for (const round of [1, 2]) {
      for (let index = 0; index < 300; index += 1) {
        const { rows } = await sql.raw(`select ${index} as n`).execute(tx);
        expect(rows, `round ${round}`).toEqual([{ n: index }]);
      }
    }
  });
});
