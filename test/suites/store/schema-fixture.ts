// A database with every table filled, to be opened by later versions. Deterministic: two of them
// differ in nothing that the Store shows.

import type { Store } from "../../../src/core/store.ts";
import { noUsage } from "../../../src/core/usage.ts";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import {
  PROJECT,
  aFile,
  batchStates,
  claimPlanningOf,
  claimShards,
  plannedBatch,
  progressOf,
} from "./store-under-test.ts";

const LEASE_MS = 1_000;

/** Fills the empty database file `path`. */
export async function writeSchemaFixture(path: string): Promise<void> {
  const store = await openSqliteStore({ path, clock: new FakeClock() });
  await store.models.save("near", ["model-a", "model-b"], 1_000);
  await store.files.insert(aFile("file-visible", { filename: "tickets é.jsonl" }));
  await store.files.insert(aFile("file-expiring", { expiresAt: 50_000 }));
  await store.files.insert(aFile("file-deleted"));
  await store.files.delete(PROJECT, "file-deleted", 1_000);
  await store.files.insert(aFile("file-reclaimed", { expiresAt: 1_000 }));
  await store.files.markReclaimed("file-reclaimed");
  const ended = ["failed", "completed", "expired", "cancelled"];
  const live = Object.keys(batchStates).filter((state) => !ended.includes(state));
  for (const state of [...ended, ...live]) await batchStates[state]!(store, state);
  await store.batches.markSwept("expired");
  await store.batches.setWaitingReason(["validating"], "no upstream answers");
  await plannedBatch(store, "worked on", { batch: { metadata: { a: "1" } } });
  const [first, second] = await claimShards(store, "worked on", 2);
  await store.shards.release(first!.shardId, first!.epoch, 70, progressOf(3));
  await store.shards.renew("node_1", LEASE_MS, [
    { shardId: second!.shardId, epoch: second!.epoch, progress: progressOf(4) },
  ]);
  await store.batches.startPlanning(
    "validating",
    await claimPlanningOf(store, "validating"),
    1_500,
  );
  await store.close();
}

/** All that the Store shows of such a database. Changes it: what can be claimed is claimed. */
export async function describeStore(store: Store): Promise<unknown> {
  const { data: batches } = await store.batches.list(PROJECT, { limit: 100 });
  const unswept = await store.batches.listUnswept(100);
  const description = {
    batches,
    unswept,
    counts: await store.batches.countByStatus(),
    runnable: await store.batches.listRunnable(100),
    journals: await Promise.all(batches.map((batch) => store.shards.journals(batch.id))),
    files: await store.files.list(PROJECT, { limit: 100, order: "asc", now: 40_000 }),
    reclaimable: await store.files.listReclaimable(60_000, 100),
    existing: await store.files.existing(["file-deleted", "file-reclaimed", "file-unknown"]),
    models: await store.models.all(),
  };
  await store.voidLeases();
  const assembling = await store.batches.claimAssembling("node_9", LEASE_MS);
  const planning = await store.batches.claimPlanning("node_9", LEASE_MS, []);
  const shards = await claimShards(store, "worked on");
  const { shardId, epoch } = shards[0]!;
  await store.shards.finish(shardId, epoch, 80, { ...progressOf(10), usage: noUsage() }, 3_000);
  const afterwards = await store.batches.get(PROJECT, "worked on");
  return { ...description, assembling, planning, shards, afterwards };
}
