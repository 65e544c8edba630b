// What is particular to a database in a file: reopening, older and newer versions, files that cannot
// be used.

import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it, onTestFinished } from "vitest";
import type { Store } from "../../../src/core/store.ts";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { startScript } from "../blob-store/child-script.ts";
import {
  describeSince2,
  describeSince3,
  describeStore,
  writeSchemaFixture,
} from "./schema-fixture.ts";
import { PROJECT } from "./store-under-test.ts";

// Each was made by the Offpeak that had this schema version, in the repository's root, by
//   npm exec -- node -e "import('./test/suites/store/schema-fixture.ts').then((fixture) =>
//     fixture.writeSchemaFixture('test/fixtures/database-schema-1.db'))"
// Released fixtures are never made again.
const fixtures = [
  { version: 1, describe: describeStore },
  {
    version: 2,
    describe: async (store: Store) => [await describeSince2(store), await describeStore(store)],
  },
  {
    version: 3,
    describe: async (store: Store) => [
      await describeSince3(store),
      await describeSince2(store),
      await describeStore(store),
    ],
  },
];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-sqlite-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

async function openAt(path: string) {
  const store = await openSqliteStore({ path, clock: new FakeClock() });
  onTestFinished(() => store.close());
  return store;
}

it("still has everything when it is opened again", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "offpeak.db");
  await writeSchemaFixture(path);
  const copy = join(folder, "copy.db");
  await copyFile(path, copy);
  const first = await openAt(path);
  const described = await describeStore(first);
  await first.close();
  const again = await openAt(copy);
  expect(await describeStore(again)).toEqual(described);
});

it.each(fixtures)("opens a database of schema version $version", async ({ version, describe }) => {
  const folder = await temporaryFolder();
  const old = join(folder, "old.db");
  const fixture = new URL(`../../fixtures/database-schema-${version}.db`, import.meta.url);
  await copyFile(fixture, old);
  const fresh = join(folder, "fresh.db");
  await writeSchemaFixture(fresh);
  expect(await describe(await openAt(old))).toEqual(await describe(await openAt(fresh)));
});

it("refuses a database of a newer version, and leaves it as it is", async () => {
  const path = join(await temporaryFolder(), "offpeak.db");
  await writeSchemaFixture(path);
  const raw = new DatabaseSync(path);
  raw.exec("update schema_version set version = 99");
  raw.close();
  const before = await readFile(path);
  const opening = openSqliteStore({ path, clock: new FakeClock() });
  await expect(opening).rejects.toMatchObject({
    name: "SchemaVersionError",
    message: expect.stringContaining(`The database ${path} has schema version 99`),
  });
  expect(await readFile(path)).toEqual(before);
});

it("says which file cannot be used, and why", async () => {
  const folder = await temporaryFolder();
  const text = join(folder, "notes.txt");
  await writeFile(text, "Not a database. ".repeat(500));
  await mkdir(join(folder, "a-folder"));
  for (const path of [text, join(folder, "a-folder"), join(folder, "missing", "offpeak.db")]) {
    const opening = openSqliteStore({ path, clock: new FakeClock() });
    await expect(opening).rejects.toThrow(`Cannot use ${path} as the database: `);
  }
});

it("keeps all that was acknowledged by a process that was killed", async () => {
  const path = join(await temporaryFolder(), "offpeak.db");
  const child = startScript(new URL("insert-batches.ts", import.meta.url), [path]);
  const acknowledged: string[] = [];
  while (acknowledged.length < 200) acknowledged.push(await child.nextLine());
  await child.kill();
  const store = await openAt(path);
  const { data } = await store.batches.list(PROJECT, { limit: 100_000 });
  const kept = data.map((batch) => batch.id).toReversed();
  expect(kept.slice(0, 200)).toEqual(acknowledged);
  expect((await store.batches.countByStatus()).validating).toBe(kept.length);
});
