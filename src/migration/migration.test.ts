import { cp, mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { aBatch } from "../../test/suites/store/store-under-test.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import {
  SECRET_KEY,
  databaseOf,
  describeBlobs,
  describeData,
  fillDataDirectory,
  put,
} from "../../test/support/migration-source.ts";
import { aBeat } from "../../test/support/node-beat.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { MigrationProgress } from "../core/migration-progress.ts";
import { SecretBox } from "../projects/secret-box.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { openSqliteRows, openSqliteStore } from "../storage/sql/sqlite.ts";
import {
  type MigrationEnd,
  type MigrationOptions,
  type MigrationResult,
  migrateData,
} from "./migration.ts";

const LARGE_BYTES = 1_000_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "offpeak-migration-"));
  await mkdir(join(folder, "filled"));
  await fillDataDirectory(join(folder, "filled"), LARGE_BYTES);
});
afterAll(() => rm(folder, { recursive: true }));

let copies = 0;

/** A copy of the filled data directory, or an empty one. */
async function dataDirectory(isFilled: boolean): Promise<string> {
  copies += 1;
  const path = join(folder, `copy-${copies}`);
  await mkdir(path);
  if (isFilled) await cp(join(folder, "filled"), path, { recursive: true });
  return path;
}

async function openEnd(dataDir: string): Promise<MigrationEnd> {
  const { store, rows } = await openSqliteRows({
    path: databaseOf(dataDir),
    clock: new FakeClock(),
  });
  const blobs = await openDiskBlobStore({ directory: dataDir });
  onTestFinished(async () => {
    await blobs.close();
    await store.close();
  });
  return { name: `the directory ${dataDir.slice(folder.length + 1)}`, store, rows, blobs };
}

async function openEnds(): Promise<{ source: MigrationEnd; target: MigrationEnd; dirs: string[] }> {
  const dirs = [await dataDirectory(true), await dataDirectory(false)] as [string, string];
  return { source: await openEnd(dirs[0]), target: await openEnd(dirs[1]), dirs };
}

function move(
  ends: Pick<MigrationOptions, "source" | "target">,
  change: Partial<MigrationOptions> = {},
): Promise<MigrationResult> {
  const box = new SecretBox(SECRET_KEY);
  return migrateData({
    source: ends.source,
    target: ends.target,
    now: Date.now(),
    unseal: (sealed) => void box.open(sealed),
    report: () => undefined,
    ...change,
  });
}

/** Both hold the same, and the target can be opened. */
async function expectMoved(dirs: readonly string[]): Promise<void> {
  const described: unknown[] = [];
  for (const dataDir of dirs) {
    const store = await openSqliteStore({ path: databaseOf(dataDir), clock: new FakeClock() });
    const blobs = await openDiskBlobStore({ directory: dataDir });
    described.push([await describeBlobs(blobs), await describeData(store)]);
    await blobs.close();
    await store.close();
  }
  expect(described[1]).toEqual(described[0]);
}

async function expectNotOpened(dataDir: string): Promise<void> {
  const opening = openSqliteStore({ path: databaseOf(dataDir), clock: new FakeClock() });
  await expect(opening).rejects.toMatchObject({ name: "UnfinishedMigrationError" });
}

function rawly(dataDir: string, statement: string): void {
  const database = new DatabaseSync(databaseOf(dataDir));
  database.exec(statement);
  database.close();
}

test("everything is moved, and the source stays as it is", async () => {
  const { source, target, dirs } = await openEnds();
  const shown: MigrationProgress[] = [];
  const result = await move(
    { source, target },
    { report: (progress) => shown.push({ ...progress }) },
  );
  expect(result).toMatchObject({ wentOn: false, substitutedRows: 2 });
  expect(result.blobs).toBe(result.blobsTotal);
  expect(result.bytes).toBe(result.bytesTotal);
  expect([...new Set(shown.map(({ step }) => step))]).toEqual([
    "reading the source",
    "copying rows",
    "copying blobs",
    "comparing",
  ]);
  expect(shown.at(-1)).toMatchObject({ rows: shown.at(-1)?.rowsTotal });
  await expectMoved(dirs);
  const store = await openSqliteStore({ path: databaseOf(dirs[1]!), clock: new FakeClock() });
  await store.batches.insert(aBatch("afterwards", { projectId: "proj_new" }));
  await store.close();
});

/** Throws at the call with that number, of those that change something. */
function failingAt(end: MigrationEnd, failure: number): { end: MigrationEnd; calls: () => number } {
  let calls = 0;
  const mayFail = async () => {
    calls += 1;
    if (calls === failure) throw new Error("cut off");
  };
  const { rows, blobs } = end;
  return {
    calls: () => calls,
    end: {
      ...end,
      rows: {
        ...rows,
        begin: async (note) => {
          await rows.begin(note);
          await mayFail();
        },
        add: async (...row) => {
          await mayFail();
          await rows.add(...row);
          await mayFail();
        },
        finish: async () => {
          await mayFail();
          await rows.finish();
        },
      },
      blobs: {
        read: (...what) => blobs.read(...what),
        open: (key) => blobs.open(key),
        list: (prefix) => blobs.list(prefix),
        create: async (key) => {
          await mayFail();
          const writer = await blobs.create(key);
          return {
            write: (chunk) => writer.write(chunk),
            abort: () => writer.abort(),
            commit: async () => {
              await mayFail();
              await writer.commit();
              await mayFail();
            },
            get sizeBytes() {
              return writer.sizeBytes;
            },
          };
        },
      } as BlobStore,
    },
  };
}

test("cut off anywhere it goes on, and a server is refused until it has ended", async () => {
  const { source, target, dirs } = await openEnds();
  let failures = 0;
  for (let failure = 1; ; failure += 1) {
    const failing = failingAt(target, failure);
    try {
      const result = await move({ source, target: failing.end });
      expect(result).toMatchObject({ wentOn: true });
      break;
    } catch (error) {
      expect(error).toMatchObject({ message: "cut off" });
      failures += 1;
      await expectNotOpened(dirs[1]!);
    }
  }
  expect(failures).toBeGreaterThan(10);
  await expectMoved(dirs);
});

test("what a cut off attempt left under a key is not trusted", async () => {
  const { source, target, dirs } = await openEnds();
  await expect(move({ source, target: failingAt(target, 90).end })).rejects.toThrow("cut off");
  await put(target.blobs, "files/file-large", Buffer.alloc(LARGE_BYTES, "!"));
  await put(target.blobs, "batches/batch-1/plan-1", Buffer.alloc(3_200, "!"));
  await move({ source, target });
  await expectMoved(dirs);
});

test("damaged and missing blobs are named, and nothing is marked as done", async () => {
  const { source, target, dirs } = await openEnds();
  const blob = (key: string) => join(dirs[0]!, "blobs", key);
  await writeFile(blob("files/file-large"), Buffer.alloc(LARGE_BYTES, "?"));
  await truncate(blob("files/file-nul"), 1_000);
  await rm(blob("files/file-visible"));
  // It has expired: its bytes may be gone.
  await rm(blob("files/file-expiring"));
  const moving = move({ source, target });
  await expect(moving).rejects.toMatchObject({
    name: "MigrationFailedError",
    problems: expect.toSatisfy((problems: string[]) => problems.length === 3),
    message: expect.stringContaining("the migration is not finished: 3 problems."),
  });
  await expect(moving).rejects.toThrow(
    "file-large (file-large.jsonl), files/file-large: its bytes in the source are not those that were stored",
  );
  await expect(moving).rejects.toThrow(
    "files/file-nul: it has 1000 bytes in the source, but its record says 1234.",
  );
  await expect(moving).rejects.toThrow(
    "file-visible (tickets é.jsonl), files/file-visible: it is missing from the source.",
  );
  await expectNotOpened(dirs[1]!);
  expect(await target.rows.note()).toBeDefined();
});

test("a target that gives other bytes than it got is found out", async () => {
  const { source, target, dirs } = await openEnds();
  const read: BlobStore["read"] = async function* read(key) {
    for await (const chunk of target.blobs.read(key)) {
      yield key.endsWith("-1-7") ? Buffer.alloc(chunk.length, "x") : chunk;
    }
  };
  const { blobs } = failingAt(target, -1).end;
  await expect(move({ source, target: { ...target, blobs: { ...blobs, read } } })).rejects.toThrow(
    "a blob of a batch, batches/batch-1/answers/shard-1-1-7: what is read back from the target is not what was written.",
  );
  await expectNotOpened(dirs[1]!);
});

test("rows that are changed meanwhile are found out, at the source and at the target", async () => {
  const { source, target, dirs } = await openEnds();
  const report = ({ step, rows }: MigrationProgress) => {
    if (step !== "comparing" || rows > 0) return;
    rawly(dirs[0]!, "update batches set waiting_reason = 'x' where id = 'completed'");
    rawly(dirs[1]!, "delete from batch_models where rowid = 1");
  };
  const moving = move({ source, target }, { report });
  await expect(moving).rejects.toMatchObject({
    problems: [
      "the table batch_models is not the same in the directory " + target.name.split(" ").at(-1),
      "the table batches was changed in the directory " +
        source.name.split(" ").at(-1) +
        " meanwhile",
    ],
  });
  await expectNotOpened(dirs[1]!);
  await expect(move({ source, target })).rejects.toThrow(
    `${target.name} holds a part of other data`,
  );
});

test("a target that is not empty is refused", async () => {
  const { source, target, dirs } = await openEnds();
  await put(target.blobs, "files/other", Buffer.from("x"));
  await expect(move({ source, target })).rejects.toThrow(
    `${target.name} has blobs already, among them files/other.`,
  );
  await target.blobs.delete("files/other");
  const store = await openSqliteStore({ path: databaseOf(dirs[1]!), clock: new FakeClock() });
  for (const id of ["one", "two"]) await store.batches.insert(aBatch(id));
  await store.close();
  await expect(move({ source, target })).rejects.toThrow("has 2 batches already.");
  rawly(
    dirs[1]!,
    "delete from batches; insert into upstream_models (upstream, models, discovered_at) values ('u', '[]', 1)",
  );
  await expect(move({ source, target })).rejects.toThrow("is not empty: it has 1 upstream models.");
});

test("ends on which nodes live, or that are half moved themselves, are refused", async () => {
  const { source, target } = await openEnds();
  for (const { store, name } of [source, target]) {
    await store.nodes.beat(aBeat("node_1"), 10_000);
    await expect(move({ source, target })).rejects.toThrow(`1 node (node_1) runs on ${name}.`);
    await store.nodes.leave("node_1");
  }
  await source.rows.begin({ source: "", progress: "" }).catch(() => undefined);
  await expect(move({ source, target: failingAt(target, 5).end })).rejects.toThrow("cut off");
  await expect(move({ source: target, target: source })).rejects.toThrow(
    `${target.name} holds a part of what another migration was to move there.`,
  );
});

test("a secret key that does not open the webhooks' secrets is refused before anything is moved", async () => {
  const { source, target } = await openEnds();
  const other = new SecretBox("another key of the nodes");
  const unseal = (sealed: string) => void other.open(sealed);
  await expect(move({ source, target }, { unseal })).rejects.toThrow(
    "the secret_key that is set does not open the secrets of these webhooks",
  );
  expect(await target.rows.note()).toBeUndefined();
});
