// Data moved between a data directory and a PostgreSQL database with an S3 bucket, by the command, as people do it:
// there and back, killed in the middle, and refused.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { BlobStore } from "../../src/core/blob-store.ts";
import type { Store } from "../../src/core/store.ts";
import { lockDataDirectory } from "../../src/storage/disk/data-directory-lock.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openPostgresStore } from "../../src/storage/sql/postgres.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  SECRET_KEY,
  databaseOf,
  describeBlobs,
  describeData,
  fillDataDirectory,
} from "../support/migration-source.ts";
import { aBeat } from "../support/node-beat.ts";
import { administer, emptyPostgres } from "../support/postgres-database.ts";
import { seededRandom } from "../support/random.ts";
import { S3Bucket } from "../support/s3-bucket.ts";
import { until } from "../support/until.ts";
import { aBatch } from "./store/store-under-test.ts";

const OFFPEAK = fileURLToPath(new URL("../../src/cli/offpeak.ts", import.meta.url));
const LARGE_BYTES = 30_000_000;
const KILLS = 6;

let folder: string;
let bucket: S3Bucket;
let databaseUrl: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "offpeak-migration-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  bucket = await S3Bucket.open();
  databaseUrl = await emptyPostgres();
});

/** A data directory with everything in it. */
async function filledDirectory(largeFileBytes = LARGE_BYTES): Promise<string> {
  const dataDir = join(folder, "filled");
  await mkdir(dataDir);
  await fillDataDirectory(dataDir, largeFileBytes);
  return dataDir;
}

interface Ran {
  code: number | null;
  stderr: string;
}

function begin(
  command: readonly string[],
  dataDir: string,
  env: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ran> } {
  const place = ["--blob-url", `s3://${bucket.name}/${bucket.prefix}`, "--s3-path-style"];
  const line = [...command, "--data-dir", dataDir, "--s3-endpoint", bucket.url, ...place];
  const child = spawn(process.execPath, [OFFPEAK, ...line], {
    cwd: folder,
    env: {
      ...process.env,
      OFFPEAK_DATABASE_URL: databaseUrl,
      OFFPEAK_SECRET_KEY: SECRET_KEY,
      ...env,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = Promise.all([once(child, "exit"), once(child.stderr, "close")]).then(
    ([[code]]) => ({ code: code as number | null, stderr }),
  );
  return { child, ended };
}

function migrate(to: string, dataDir: string, env?: Record<string, string>): Promise<Ran> {
  return begin(["migrate", "--to", to], dataDir, env).ended;
}

async function openDirectory(dataDir: string): Promise<{ store: Store; blobs: BlobStore }> {
  const store = await openSqliteStore({ path: databaseOf(dataDir), clock: new FakeClock() });
  const blobs = await openDiskBlobStore({ directory: dataDir });
  onTestFinished(async () => {
    await store.close();
    await blobs.close();
  });
  return { store, blobs };
}

async function openShared(): Promise<{ store: Store; blobs: BlobStore }> {
  const leaseClock = new FakeClock();
  const store = await openPostgresStore({ url: databaseUrl, connections: 4, leaseClock });
  onTestFinished(() => store.close());
  return { store, blobs: await bucket.openStore() };
}

/** All that can be seen. */
async function describeAll({ store, blobs }: { store: Store; blobs: BlobStore }): Promise<unknown> {
  return [await describeBlobs(blobs), await describeData(store)];
}

describe("offpeak migrate", { timeout: 120_000 }, () => {
  it("moves everything to what nodes share, and back", async () => {
    const dataDir = await filledDirectory();
    await mkdir(join(folder, "back"));
    const there = await migrate("shared", dataDir);
    expect(there).toMatchObject({ code: 0 });
    expect(there.stderr).toMatch(
      /^Moved [\d,]+ rows and \d+ blobs \(\d+\.\d MB\) from the data directory \S+ to the nodes' storage \(postgres:\S+ and s3:\S+\) in \d+ s\./m,
    );
    expect(there.stderr).toContain(`The data directory ${dataDir} is as it was.`);
    expect(there.stderr).toContain("2 rows had the character NUL");
    const back = await migrate("data-dir", join(folder, "back"));
    expect(back).toMatchObject({ code: 0 });
    expect(back.stderr).toContain("The secret key is in the data directory's file secret.key");
    expect(await readFile(join(folder, "back", "secret.key"), "utf8")).toBe(`${SECRET_KEY}\n`);
    for (const { stderr } of [there, back]) expect(stderr).not.toContain(SECRET_KEY);

    const ends = [
      await openDirectory(dataDir),
      await openShared(),
      await openDirectory(join(folder, "back")),
    ];
    const [original, shared, returned] = await Promise.all(ends.map(describeAll));
    expect(shared).toEqual(original);
    expect(returned).toEqual(original);
    const [nul] = await Promise.all(
      ends.slice(1).map(({ store }) => store.files.get("proj_b", "file-nul", Date.now())),
    );
    expect(nul?.filename).toBe("in\uFFFDput.jsonl");
    for (const { store } of ends) {
      // Numbered behind those that were moved.
      await store.batches.insert(aBatch("newest", { projectId: "proj_b" }));
      const { data } = await store.batches.list("proj_b", { limit: 1 });
      expect(data).toMatchObject([{ id: "newest" }]);
      await store.webhooks.insert({
        ...(await store.webhooks.list())[0]!,
        id: "newest",
      });
    }
  });

  it("goes on after it was killed, and until then no server starts there", async () => {
    const random = seededRandom("OFFPEAK_MIGRATION_SEED");
    console.info(`OFFPEAK_MIGRATION_SEED=${random.seed}`);
    const dataDir = await filledDirectory();
    await killAfter(dataDir, async () => {
      await until("the move to begin", isBegun);
      await sleep(random.next() * 300);
    });
    const serving = await begin(["serve", "--upstream", "http://127.0.0.1:9"], dataDir).ended;
    expect(serving).toMatchObject({ code: 1 });
    expect(serving.stderr).toContain("Run the same `offpeak migrate` again");
    for (let nth = 1; nth < KILLS && (await isBegun()); nth++) {
      await killAfter(dataDir, () => sleep(500 + random.next() * 2_000));
    }
    if (await isBegun()) expect(await migrate("shared", dataDir)).toMatchObject({ code: 0 });
    const [original, shared] = [await openDirectory(dataDir), await openShared()];
    expect(await describeAll(shared)).toEqual(await describeAll(original));
  });

  async function killAfter(dataDir: string, moment: () => Promise<void>): Promise<void> {
    const { child, ended } = begin(["migrate", "--to", "shared"], dataDir);
    await Promise.race([moment(), ended]);
    child.kill("SIGKILL");
    await ended;
  }

  /** Whether a move into the database was begun and has not ended. */
  async function isBegun(): Promise<boolean> {
    return administer("select 1 from migration", databaseUrl).then(
      (rows) => rows.length > 0,
      () => false,
    );
  }

  it("names what is damaged, and finishes nothing", async () => {
    const dataDir = await filledDirectory(100_000);
    await writeFile(join(dataDir, "blobs", "files", "file-large"), Buffer.alloc(100_000, "?"));
    await rm(join(dataDir, "blobs", "files", "file-visible"));
    const { code, stderr } = await migrate("shared", dataDir);
    expect(code).toBe(1);
    expect(stderr).toContain("offpeak: the migration is not finished: 2 problems.");
    expect(stderr).toContain("file-large (file-large.jsonl), files/file-large: its bytes");
    expect(stderr).toContain("files/file-visible: it is missing from the source.");
    expect(stderr).not.toContain("    at ");
    await expect(openShared()).rejects.toMatchObject({ name: "UnfinishedMigrationError" });
  });

  it("refuses while something runs, and a target that is not empty", async () => {
    const dataDir = await filledDirectory(100_000);
    const lock = await lockDataDirectory(dataDir);
    expect(await migrate("shared", dataDir)).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^offpeak: The data directory \S+ is in use by another Offpeak process.*\n$/,
      ),
    });
    await lock.release();

    const { store } = await openShared();
    await store.nodes.beat(aBeat("node_1"), Date.now());
    expect(await migrate("shared", dataDir)).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^offpeak: 1 node \(node_1\) runs on the nodes' storage .*\n$/),
    });
    await store.nodes.leave("node_1");

    await store.batches.insert(aBatch("one"));
    expect(await migrate("shared", dataDir)).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^offpeak: the nodes' storage .* has 1 batches already\. .*\n$/,
      ),
    });
  });

  it("refuses settings that are wrong", async () => {
    const dataDir = await filledDirectory(1_000);
    const wrong = await migrate("shared", dataDir, {
      OFFPEAK_SECRET_KEY: "another-key-of-the-nodes",
    });
    expect(wrong).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("does not open the secrets of these webhooks"),
    });
    expect(await migrate("shared", dataDir, { OFFPEAK_SECRET_KEY: "" })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("take what its file secret.key holds"),
    });
    expect(await migrate("shared", dataDir, { OFFPEAK_DATABASE_URL: "" })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("blob_url is set without database_url"),
    });
    expect(await migrate("shared", join(folder, "nothing"))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no server has had its data in"),
    });
    expect(await migrate("elsewhere", dataDir)).toMatchObject({ code: 2 });
  });
});
