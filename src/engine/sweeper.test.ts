import { utimesSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { blobKeys } from "../core/blob-store.ts";
import { noUsage } from "../core/usage.ts";
import { Sweeper, type SweeperOptions } from "./sweeper.ts";

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;
let stage: EngineStage;
beforeEach(async () => {
  stage = await openEngineStage();
});
afterEach(() => stage[Symbol.asyncDispose]());

function sweeperOf(change: Partial<SweeperOptions> = {}): Sweeper {
  const { store, blobs, clock, log } = stage;
  const options = { store, blobs, clock, log, orphanAgeMs: HOUR_MS, aloneSince: null, ...change };
  return new Sweeper(options);
}

async function keys(prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of stage.blobs.list(prefix)) found.push(key);
  return found.toSorted();
}

/** An ended batch with its plan. */
async function endedBatch(): Promise<string> {
  const id = await stage.planBatch([embeddingLine("a")]);
  await stage.store.batches.requestCancel("default", id, stage.clock.now());
  const claim = (await stage.store.batches.claimAssembling("node-1", 30_000))!;
  await stage.store.batches.finish(id, claim.epoch, {
    ending: "cancelled",
    outputFile: null,
    errorFile: null,
    counts: { total: 1, completed: 0, failed: 0 },
    usage: noUsage(),
    at: stage.clock.now(),
  });
  return id;
}

test("the parts of an upload go when it is over, those without a record too; those of a pending one stay", async () => {
  const { store, clock, blobs } = stage;
  const ids = ["upload_pending", "upload_cancelled"];
  for (const id of ids) {
    await store.uploads.insert({
      id,
      projectId: "default",
      filename: "input.jsonl",
      purpose: "batch",
      mimeType: "application/jsonl",
      sizeBytes: 1,
      fileExpiresAfterSeconds: null,
      status: "pending",
      createdAt: clock.now(),
      expiresAt: clock.now() + HOUR_MS,
      fileId: null,
      partIds: null,
    });
    const writer = await blobs.create(blobKeys.part(id, "part_1"));
    await writer.write(Buffer.from("x"));
    await writer.commit();
  }
  await store.uploads.cancel("default", "upload_cancelled", clock.now());
  await sweeperOf().tick(never);
  expect(await keys("uploads/")).toEqual([blobKeys.part("upload_pending", "part_1")]);
  clock.pass(HOUR_MS);
  await sweeperOf().tick(never);
  expect(await keys("uploads/")).toEqual([]);
  expect(await store.uploads.listUnswept(clock.now(), 10)).toEqual([]);
});

test("requests under a key and ended deliveries are forgotten in time", async () => {
  const { store, clock } = stage;
  const swept = {
    keys: vi.spyOn(store.idempotency, "sweep"),
    deliveries: vi.spyOn(store.webhooks, "sweepDeliveries"),
  };
  await sweeperOf().tick(never);
  expect(swept.keys).toHaveBeenCalledWith(clock.now());
  expect(swept.deliveries).toHaveBeenCalledWith(clock.now() - 7 * 24 * HOUR_MS);
});

test("the bytes of deleted and expired files go, those of others stay", async () => {
  const [kept, deleted, expired] = [
    await stage.storeFile("kept"),
    await stage.storeFile("deleted"),
    await stage.storeFile("expired", { expiresAt: stage.clock.now() + HOUR_MS }),
  ];
  await stage.store.files.delete("default", deleted, stage.clock.now());
  await sweeperOf().tick(never);
  expect(await keys(blobKeys.files)).toEqual([kept, expired].map(blobKeys.file).toSorted());
  stage.clock.pass(HOUR_MS);
  await sweeperOf().tick(never);
  expect(await keys(blobKeys.files)).toEqual([blobKeys.file(kept)]);
});

test("the input of a batch that runs stays, though it is deleted, until the batch has ended", async () => {
  const id = await stage.planBatch([embeddingLine("a")]);
  const { inputFileId } = (await stage.store.batches.get("default", id))!;
  await stage.store.files.delete("default", inputFileId, stage.clock.now());
  await sweeperOf().tick(never);
  expect(await keys(blobKeys.files)).toEqual([blobKeys.file(inputFileId)]);
  expect(await keys(blobKeys.batch(id))).toEqual([blobKeys.plan(id, 1)]);
});

test("plan and journals of an ended batch go, those of one that runs stay", async () => {
  const ended = await endedBatch();
  const running = await stage.planBatch([embeddingLine("b")]);
  await sweeperOf().tick(never);
  expect(await keys(blobKeys.batch(ended))).toEqual([]);
  expect(await keys(blobKeys.batch(running))).toEqual([blobKeys.plan(running, 1)]);
  expect(await stage.store.batches.listUnswept(10)).toEqual([]);
});

test("more than are looked at in one go are all done", async () => {
  for (let n = 0; n < 120; n++) {
    const id = await stage.storeFile("x");
    await stage.store.files.delete("default", id, stage.clock.now());
  }
  await sweeperOf().tick(never);
  expect(await keys(blobKeys.files)).toEqual([]);
});

test("when told to stop it stops", async () => {
  const id = await stage.storeFile("x");
  await stage.store.files.delete("default", id, stage.clock.now());
  await sweeperOf().tick(AbortSignal.abort());
  await sweeperOf().sweepOrphans(AbortSignal.abort());
  expect(await keys(blobKeys.files)).toEqual([blobKeys.file(id)]);
});

test("blobs that no record knows go once they are old; files, tombstones and young ones stay", async () => {
  const known = await stage.storeFile("known");
  const tombstone = await stage.storeFile("tombstone");
  await stage.store.files.delete("default", tombstone, stage.clock.now());
  const orphans = Array.from({ length: 120 }, (_, n) => `file-orphan${n}`);
  for (const id of [...orphans, "file-young"]) {
    const writer = await stage.blobs.create(blobKeys.file(id));
    await writer.write(Buffer.from("x"));
    await writer.commit();
  }
  const old = new Date(stage.clock.now() - HOUR_MS - 1_000);
  for (const id of [known, tombstone, ...orphans]) {
    utimesSync(stage.blobPath(blobKeys.file(id)), old, old);
  }
  const young = new Date(stage.clock.now() - HOUR_MS + 1_000);
  utimesSync(stage.blobPath(blobKeys.file("file-young")), young, young);
  await sweeperOf().sweepOrphans(never);
  expect(await keys(blobKeys.files)).toEqual(
    [known, tombstone, "file-young"].map(blobKeys.file).toSorted(),
  );
});

test("where nobody else has written, what is older than this process is an orphan at once", async () => {
  const aloneSince = stage.clock.now() - 60_000;
  for (const [id, at] of [
    ["file-before", aloneSince - 1_000],
    ["file-since", aloneSince + 1_000],
  ] as const) {
    const writer = await stage.blobs.create(blobKeys.file(id));
    await writer.write(Buffer.from("x"));
    await writer.commit();
    utimesSync(stage.blobPath(blobKeys.file(id)), new Date(at), new Date(at));
  }
  await sweeperOf({ aloneSince }).sweepOrphans(never);
  expect(await keys(blobKeys.files)).toEqual([blobKeys.file("file-since")]);
});
