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

it("commits together the writes that are asked for together, and answers none before", async () => {
  const path = await temporaryPath();
  const database = await openDatabase(path);
  const other = new DatabaseSync(path);
  onTestFinished(() => other.close());
  const committed = () => other.prepare("select count(*) as n from upstream_models").get()!["n"];
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  const isInside = Promise.withResolvers<void>();
  const answered: string[] = [];
  const first = database.write((tx) => save(tx, "first")).then(() => answered.push("first"));
  const second = database
    .write(async (tx) => {
      await save(tx, "second");
      isInside.resolve();
      await gate;
    })
    .then(() => answered.push("second"));
  await isInside.promise;
  expect([committed(), answered]).toEqual([0, []]);
  openGate();
  await Promise.all([first, second]);
  expect([committed(), answered]).toEqual([2, ["first", "second"]]);
});

it("leaves nothing of a write that throws, and all of those that were committed with it", async () => {
  const database = await openDatabase();
  const outcomes = await Promise.allSettled([
    database.write((tx) => save(tx, "before")),
    database.write(async (tx) => {
      await save(tx, "undone");
      throw new Error("changed my mind");
    }),
    database.write((tx) => save(tx, "before")),
    database.write((tx) => save(tx, "after")),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "rejected",
    "fulfilled",
  ]);
  expect(await saved(database)).toEqual(["after", "before"]);
});

it("answers truly when the space ends in the middle of writes that share a commit", async () => {
  const database = await openDatabase();
  await database.read((tx) => sql`pragma max_page_count = 1`.execute(tx));
  const names = Array.from({ length: 20 }, (_, at) => `upstream ${at} ${"x".repeat(3_000)}`);
  const outcomes = await Promise.allSettled(
    names.map((name) => database.write((tx) => save(tx, name))),
  );
  const kept = names.filter((_, at) => outcomes[at]?.status === "fulfilled");
  expect(kept.length).toBeLessThan(names.length);
  expect(await saved(database)).toEqual(kept.toSorted());
  await database.read((tx) => sql`pragma max_page_count = 100000`.execute(tx));
  await database.write((tx) => save(tx, "room again"));
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
