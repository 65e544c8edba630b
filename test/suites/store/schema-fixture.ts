// A database with every table filled, to be opened by later versions. Deterministic: two of them
// differ in nothing that the Store shows, but for ids that the Store makes.

import type { NodeBeat } from "../../../src/core/node-store.ts";
import type { Store } from "../../../src/core/store.ts";
import { noUsage } from "../../../src/core/usage.ts";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import {
  HOUR_MS,
  OTHER_PROJECT,
  PROJECT,
  aBatch,
  aFile,
  aPart,
  aWebhook,
  anUpload,
  batchStates,
  claimPlanningOf,
  claimShards,
  plannedBatch,
  progressOf,
  someShards,
} from "./store-under-test.ts";

const LEASE_MS = 1_000;
/** Of the claim with which the planning of "validating" starts. */
const PLANNING_EPOCH = 6;

const node: NodeBeat = {
  id: "living",
  role: "engine",
  startedAt: 1_000,
  host: "machine",
  secretKeyId: "abc",
  wantsAlone: { near: "turn 1" },
  emptyFor: { far: "turn 2" },
  lanes: [{ upstream: "near", model: "model-a", inFlight: 3, limit: 8 }],
};

/** Fills the empty database file `path`. */
export async function writeSchemaFixture(path: string): Promise<void> {
  const store = await openSqliteStore({ path, clock: new FakeClock() });
  await fillSchemaFixture(store);
  await fillSince3(store);
  await store.close();
}

/** Fills the empty store. */
export async function fillSchemaFixture(store: Store): Promise<void> {
  await store.webhooks.insert(aWebhook("webhook"));
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
  await fillSince2(store);
}

/** What version 1 did not have; nothing that shows in what it had. */
async function fillSince2(store: Store): Promise<void> {
  const claimed = await store.webhooks.claimDue(20_000, LEASE_MS, 3);
  const [first, second] = claimed.map(({ delivery }) => delivery.id);
  const outcome = { at: 20_500, status: 500, error: "answered 500", nextAttemptAt: 90_000 };
  await store.webhooks.recordAttempt(first!, 1, outcome);
  const delivered = { at: 20_600, status: 200, error: null, nextAttemptAt: null };
  await store.webhooks.recordAttempt(second!, 1, delivered);
  const projectId = OTHER_PROJECT;
  for (const id of ["completed", "cancelled", "pending"]) {
    await store.uploads.insert(anUpload(id, { projectId }));
    const limits = { maxPartBytes: 10_000, maxStoredBytes: null };
    await store.uploads.addPart(projectId, aPart(`of-${id}`, { uploadId: id }), limits);
  }
  await store.idempotency.begin(projectId, "running", "POST /v1/files", 2_000);
  await store.idempotency.begin(projectId, "done", "POST /v1/uploads", 2_000);
  await store.uploads.insert(anUpload("swept", { projectId, createdAt: 2_000 }), {
    idempotent: { projectId, key: "done", fingerprint: "a fingerprint" },
  });
  await store.uploads.complete("completed", {
    file: aFile("file-of-upload", { projectId, sizeBytes: 1_000 }),
    partIds: ["of-completed"],
    maxStoredBytes: null,
  });
  for (const id of ["cancelled", "swept"]) await store.uploads.cancel(projectId, id, 3_000);
  await store.uploads.markSwept("swept");
  const key = { projectId, createdAt: 1_000, lastUsedAt: null, revokedAt: null };
  for (const id of ["key-used", "key-revoked"]) await store.keys.insert({ ...key, id }, `${id}#`);
  await store.keys.markUsed("key-used", 5_000);
  await store.keys.revoke("key-revoked", 6_000);
}

/** What version 2 did not have; nothing that shows in what it had. */
async function fillSince3(store: Store): Promise<void> {
  const { id } = node;
  await store.nodes.beat(node, HOUR_MS);
  await store.nodes.beat({ ...node, id: "dead" }, -1);
  for (const owner of [id, "dead"]) {
    await store.idempotency.begin(OTHER_PROJECT, `of ${owner}`, "POST /v1/files", 2_000, owner);
  }
}

/** All that the Store shows of what version 2 did not have. To be asked first. */
export async function describeSince3(store: Store): Promise<unknown> {
  return {
    living: await store.nodes.living(),
    keys: await Promise.all(
      [node.id, "dead"].map((owner) =>
        store.idempotency.begin(OTHER_PROJECT, `of ${owner}`, "", 3_000),
      ),
    ),
  };
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
    found: await Promise.all(
      [
        { status: "in_progress" as const },
        { model: "model-a" },
        { metadata: { a: "1" } },
        { createdFrom: 1_000 },
        { createdFrom: 1_001 },
      ].map(async (query) => {
        const found = await store.batches.list(PROJECT, { limit: 100, ...query });
        return found.data.map((batch) => batch.id);
      }),
    ),
    createdInHour: await refusal(store.batches.insert(aBatch("new"), { maxPerHour: 10 })),
    stored: await refusal(store.files.insert(aFile("new"), { maxStoredBytes: 3_701 })),
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

/** All that the Store shows of what version 1 did not have. To be asked first. */
export async function describeSince2(store: Store): Promise<unknown> {
  const deliveries = await store.webhooks.deliveries("webhook", 100);
  return {
    webhooks: await store.webhooks.list(),
    deliveries: deliveries.map((delivery) => ({ ...delivery, id: "", eventId: "" })),
    uploads: await Promise.all(
      ["completed", "cancelled", "pending", "swept"].map(async (id) => [
        await store.uploads.get(OTHER_PROJECT, id),
        await store.uploads.parts(id, [`of-${id}`]),
      ]),
    ),
    unswept: await store.uploads.listUnswept(1_000 + HOUR_MS, 100),
    keys: await store.keys.list(),
    secret: await store.keys.find("key-used"),
    idempotency: await Promise.all(
      ["running", "done"].map((key) => store.idempotency.begin(OTHER_PROJECT, key, "", 3_000)),
    ),
    queued: await refusal(
      store.batches.finishPlanning("validating", PLANNING_EPOCH, {
        planKey: "batches/validating/plan",
        total: 10,
        promptTokens: 1,
        model: null,
        shards: someShards(1),
        limits: { lines: null, promptTokens: 5 * 500 },
        at: 2_000,
      }),
    ),
  };
}

/** What the Store says instead of doing it. */
async function refusal(attempt: Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
