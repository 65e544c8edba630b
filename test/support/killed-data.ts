// Looks into the data directory of a server that was killed, before it is started again, and leaves
// no trace there: the database is copied, and journals, which no later server writes to, are linked.
import { copyFile, link, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import type { Batch } from "../../src/core/batch.ts";
import { blobKeys } from "../../src/core/blob-store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { DEFAULT_PROJECT } from "../../src/core/project.ts";
import { classOf } from "../../src/engine/journal-record.ts";
import { readJournal } from "../../src/engine/journal-recovery.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";

export interface KilledBatch {
  batch: Batch;
  /** Line numbers with a durable result. */
  recorded: Set<number>;
}

/** The batch as the killed server left it; undefined when it had not been created. */
export async function readKilledBatch(
  dataDir: string,
  batchId: string,
): Promise<KilledBatch | undefined> {
  const copy = await mkdtemp(join(tmpdir(), "offpeak-killed-"));
  try {
    await copyDatabase(dataDir, copy);
    await linkTree(dataDir, copy, join("blobs", blobKeys.batch(batchId)));
    return await readBatch(copy, batchId);
  } finally {
    await rm(copy, { recursive: true });
  }
}

async function copyDatabase(dataDir: string, copy: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    // The index beside it, -shm, is rebuilt from the log.
    if (!/^offpeak\.db(-wal)?$/.test(name)) continue;
    await copyFile(join(dataDir, name), join(copy, name));
  }
}

async function linkTree(from: string, to: string, below: string): Promise<void> {
  const files = await filesBelow(join(from, below));
  for (const file of files) {
    const target = join(to, below, file);
    await mkdir(dirname(target), { recursive: true });
    await link(join(from, below, file), target);
  }
}

async function readBatch(dataDir: string, batchId: string): Promise<KilledBatch | undefined> {
  const store = await openSqliteStore({ path: join(dataDir, "offpeak.db"), clock: systemClock });
  const blobs = await openDiskBlobStore({ directory: dataDir });
  try {
    const batch = await store.batches.get(DEFAULT_PROJECT, batchId);
    if (!batch) return undefined;
    const recorded = new Set<number>();
    for (const { shardId, epoch, acceptedBytes } of await store.shards.journals(batchId)) {
      const key = blobKeys.journal(batchId, shardId, epoch);
      await readJournal(blobs, key, acceptedBytes, ({ lineNumber, kind }) => {
        if (classOf(kind) !== null) recorded.add(lineNumber);
      });
    }
    return { batch, recorded };
  } finally {
    await blobs.close();
    await store.close();
  }
}

/** Paths of all files below a folder, relative to it; none when there is no folder. */
export async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
