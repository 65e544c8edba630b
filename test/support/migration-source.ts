// The data of a server that has stopped, of every kind: all tables filled, more rows than a page has, and the blobs
// that belong to them, journals among them. What a migration moved can be compared with it.
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { type BlobStore, blobKeys } from "../../src/core/blob-store.ts";
import type { Store } from "../../src/core/store.ts";
import { SecretBox } from "../../src/projects/secret-box.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import {
  describeSince2,
  describeStore,
  fillSchemaFixture,
} from "../suites/store/schema-fixture.ts";
import { OTHER_PROJECT, aBatch, aFile } from "../suites/store/store-under-test.ts";
import { FakeClock } from "./fake-clock.ts";

export const SECRET_KEY = "5e".repeat(32);
/** More than a page. */
const MORE_ROWS = 1_300;

export function databaseOf(dataDir: string): string {
  return `${dataDir}/offpeak.db`;
}

/** Fills the empty directory, which exists. */
export async function fillDataDirectory(dataDir: string, largeFileBytes: number): Promise<void> {
  const store = await openSqliteStore({ path: databaseOf(dataDir), clock: new FakeClock() });
  await fillSchemaFixture(store);
  const other = { projectId: OTHER_PROJECT };
  await store.files.insert(aFile("file-large", { ...other, sizeBytes: largeFileBytes }));
  await store.files.insert(aFile("file-empty", { ...other, sizeBytes: 0, sha256: null }));
  await store.files.insert(aFile("file-nul", { ...other, filename: "in\0put.jsonl" }));
  await store.batches.insert(aBatch("batch-nul", { ...other, metadata: { "a\0key": "a\0value" } }));
  await store.close();
  const blobs = await openDiskBlobStore({ directory: dataDir });
  await fillBlobs(dataDir, blobs);
  await blobs.close();
}

/** Writes what rows say is there, and has them say what was written. */
async function fillBlobs(dataDir: string, blobs: BlobStore): Promise<void> {
  const database = new DatabaseSync(databaseOf(dataDir));
  for (const table of ["files", "upload_parts"]) {
    const isThere = table === "files" ? "reclaimed = 0 and id <> 'file-deleted'" : "true";
    const rows = database.prepare(`select id, blob_key, size_bytes from ${table} where ${isThere}`);
    for (const { id, blob_key, size_bytes } of rows.all()) {
      const bytes = Buffer.alloc(Number(size_bytes), `bytes of ${String(id)} `);
      await put(blobs, String(blob_key), bytes);
      if (bytes.length === 0) continue;
      const update = database.prepare(`update ${table} set sha256 = ? where id = ?`);
      update.run(createHash("sha256").update(bytes).digest("hex"), id!);
    }
  }
  const box = new SecretBox(SECRET_KEY);
  for (const { id } of database.prepare("select id from webhooks").all()) {
    const update = database.prepare("update webhooks set sealed_secret = ? where id = ?");
    update.run(box.seal("whsec_secret"), id!);
  }
  database.exec(`
    insert into api_keys (id, project_id, secret_hash, created_at)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MORE_ROWS})
      select 'key_' || (i * 7919 % 10007) || 'É', 'project', i || '#', i from n;
    insert into batch_models
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MORE_ROWS})
      select 'batch-nul', char(65 + i % 60) || i from n;
  `);
  database.close();

  await put(blobs, blobKeys.plan("batch-1", 1), Buffer.alloc(32 * 100, 5));
  await put(blobs, blobKeys.answer("batch-1", "shard-1", 1, 7), Buffer.alloc(3_000_000, 9));
  for (const epoch of [1, 2]) {
    const log = await blobs.createLog(blobKeys.journal("batch-1", "shard-1", epoch));
    for (let nth = 0; nth < 20; nth++) {
      await log.append([Buffer.alloc((nth * 7_919) % 50_000, nth)]);
    }
    await log.close();
  }
}

export async function put(blobs: BlobStore, key: string, bytes: Uint8Array): Promise<void> {
  const writer = await blobs.create(key);
  await writer.write(bytes);
  await writer.commit();
}

/** All that the store shows. Changes it. */
export async function describeData(store: Store): Promise<unknown> {
  await store.voidLeases();
  const since2 = (await describeSince2(store)) as { unswept: string[] };
  // In no set order.
  since2.unswept.sort();
  return [since2, await describeStore(store)];
}

/** The SHA-256 of every blob by its key. */
export async function describeBlobs(blobs: BlobStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const prefix of [blobKeys.files, blobKeys.uploads, blobKeys.batches]) {
    for await (const { key } of blobs.list(prefix)) {
      const hash = createHash("sha256");
      for await (const chunk of blobs.read(key)) hash.update(chunk);
      found[key] = hash.digest("hex");
    }
  }
  return found;
}
