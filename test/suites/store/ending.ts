// The end of a batch: expiry, assembling, and the step that fixes everything.

import { expect, it } from "vitest";
import type { Ending } from "../../../src/core/batch.ts";
import { ConflictError, LeaseLostError } from "../../../src/core/store.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  PROJECT,
  aBatch,
  aFile,
  batchStates,
  claimAssemblingOf,
  claimOneShard,
  claimPlanningOf,
  claimShards,
  finishResult,
  plannedBatch,
  progressOf,
  read,
  settle,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const endingStates: [state: string, ending: Ending, time: string][] = [
  ["finalizing", "completed", "completedAt"],
  ["in_progress, expired", "expired", "expiredAt"],
  ["cancelling", "cancelled", "cancelledAt"],
];
const outputFile = aFile("file-out", { purpose: "batch_output", sha256: null });
const errorFile = aFile("file-err", { purpose: "batch_output", sha256: null, expiresAt: 99_000 });

export function endingCases(open: OpenStore): void {
  it("expires running batches whose window is over, once", async () => {
    const { store } = await open();
    await plannedBatch(store, "due", { batch: { expiresAt: 5_000 } });
    await plannedBatch(store, "later", { batch: { expiresAt: 5_001 } });
    expect(await store.batches.expireDue(4_999)).toEqual([]);
    expect(await store.batches.expireDue(5_000)).toEqual(["due"]);
    expect(await store.batches.expireDue(5_000)).toEqual([]);
    expect(await read(store, "due")).toMatchObject({ status: "in_progress", ending: "expired" });
    expect(await read(store, "later")).toMatchObject({ status: "in_progress", ending: null });
  });

  it("says what is due, and nothing of what somebody is at", async () => {
    const { store, clock } = await open();
    const nothing = { toPlan: false, toExpire: false, toAssemble: false };
    expect(await store.batches.findDue(5_000)).toEqual(nothing);
    await store.batches.insert(aBatch("b", { expiresAt: 5_000 }));
    expect(await store.batches.findDue(5_000)).toEqual({ ...nothing, toPlan: true });
    await claimPlanningOf(store, "b");
    expect(await store.batches.findDue(5_000)).toEqual(nothing);
    clock.pass(LEASE_MS);
    expect(await store.batches.findDue(5_000)).toEqual({ ...nothing, toPlan: true });
    await plannedBatch(store, "running", { batch: { expiresAt: 5_000 } });
    const epoch = await claimPlanningOf(store, "b");
    expect(await store.batches.findDue(4_999)).toEqual(nothing);
    expect(await store.batches.findDue(5_000)).toEqual({ ...nothing, toExpire: true });
    await store.batches.expireDue(5_000);
    expect(await store.batches.findDue(5_000)).toEqual({ ...nothing, toAssemble: true });
    const assembling = await claimAssemblingOf(store, "running");
    expect(await store.batches.findDue(5_000)).toEqual(nothing);
    await store.batches.finish("running", assembling, finishResult("expired"));
    await store.batches.failValidation("b", epoch, [], 5_000);
    expect(await store.batches.findDue(Number.MAX_SAFE_INTEGER)).toEqual(nothing);
  });

  it("answers which of the shards that are kept are to be given back", async () => {
    const { store } = await open();
    await plannedBatch(store, "running");
    await plannedBatch(store, "expired", { batch: { expiresAt: 5_000 } });
    await plannedBatch(store, "cancelled");
    const claims = await Promise.all(
      ["running", "expired", "cancelled"].map((id) => claimOneShard(store, id)),
    );
    const renew = () =>
      store.shards.renew(
        NODE,
        LEASE_MS,
        claims.map(({ shardId, epoch }) => ({ shardId, epoch, progress: progressOf(0) })),
      );
    expect(await renew()).toEqual({ lost: [], endings: new Map() });
    await store.batches.expireDue(5_000);
    await store.batches.requestCancel(PROJECT, "cancelled", 4_000);
    const [, expired, cancelled] = claims;
    expect(await renew()).toEqual({
      lost: [],
      endings: new Map([
        [expired!.shardId, "expired"],
        [cancelled!.shardId, "cancelled"],
      ]),
    });
  });

  it.each(Object.keys(batchStates).filter((state) => state !== "in_progress"))(
    "never expires a batch that is %s",
    async (state) => {
      const { store } = await open();
      await batchStates[state]!(store, "b");
      const before = await read(store, "b");
      expect(await store.batches.expireDue(Number.MAX_SAFE_INTEGER)).toEqual([]);
      expect(await read(store, "b")).toEqual(before);
    },
  );

  it.each(endingStates)("lets a batch that is %s be assembled", async (state, ending) => {
    const { store } = await open();
    await batchStates["in_progress"]!(store, "running");
    await batchStates["validating"]!(store, "new");
    await batchStates[state]!(store, "b");
    const claim = await store.batches.claimAssembling(NODE, LEASE_MS);
    const { counts: _counts, usage: _usage, ...claimed } = await read(store, "b");
    expect(claim?.batch).toEqual(claimed);
    expect(claim?.batch.ending).toBe(ending);
    expect(await store.batches.claimAssembling(OTHER_NODE, LEASE_MS)).toBeUndefined();
  });

  it("assembles the oldest first", async () => {
    const { store } = await open();
    for (const id of ["b1", "b2", "b3"]) await plannedBatch(store, id);
    for (const id of ["b3", "b1", "b2"]) await store.batches.requestCancel(PROJECT, id, 1);
    const order: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      order.push((await store.batches.claimAssembling(NODE, LEASE_MS))!.batch.id);
    }
    expect(order).toEqual(["b1", "b2", "b3"]);
  });

  it.each(["completed", "failed", "expired", "cancelled"])(
    "does not assemble a batch that is %s",
    async (state) => {
      const { store } = await open();
      await batchStates[state]!(store, "b");
      expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeUndefined();
    },
  );

  it("waits with assembling until no shard is leased", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b");
    const [first, second] = await claimShards(store, "b", 2);
    await store.batches.requestCancel(PROJECT, "b", 1);
    expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeUndefined();
    await store.shards.release(first!.shardId, first!.epoch, 10, progressOf(1));
    expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeUndefined();
    await store.shards.renew(NODE, LEASE_MS * 2, [
      { shardId: second!.shardId, epoch: second!.epoch, progress: progressOf(1) },
    ]);
    clock.pass(LEASE_MS * 2 - 1);
    expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeUndefined();
    clock.pass(1);
    expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeDefined();
  });

  it("waits with assembling for the planner of a cancelled batch", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const planning = await claimPlanningOf(store, "b");
    await store.batches.requestCancel(PROJECT, "b", 1);
    expect(await store.batches.claimAssembling(NODE, LEASE_MS)).toBeUndefined();
    await store.batches.releaseClaim("b", planning);
    expect(await claimAssemblingOf(store, "b")).toBeGreaterThan(planning);
  });

  it("gives the assembling to one of two racing nodes", async () => {
    const { store, peer } = await open();
    await batchStates["finalizing"]!(store, "b");
    const claims = await Promise.all(
      [store, peer, store, peer].map((node) => node.batches.claimAssembling(NODE, LEASE_MS)),
    );
    expect(claims.filter((claim) => claim !== undefined)).toHaveLength(1);
  });

  it("gives the assembling to another node when the lease is over", async () => {
    const { store, clock } = await open();
    await batchStates["finalizing"]!(store, "b");
    const first = await claimAssemblingOf(store, "b");
    clock.pass(LEASE_MS);
    const second = await claimAssemblingOf(store, "b");
    expect(second).toBeGreaterThan(first);
    await expect(store.batches.finish("b", first, finishResult("completed"))).rejects.toThrow(
      LeaseLostError,
    );
  });

  it.each(endingStates)("ends a batch that is %s", async (state, ending, time) => {
    const { store, peer } = await open();
    await batchStates[state]!(store, "b");
    const before = await read(store, "b");
    await store.batches.setWaitingReason(["b"], "the disk is full");
    const epoch = await claimAssemblingOf(store, "b");
    const result = finishResult(ending, { outputFile, errorFile });
    await store.batches.finish("b", epoch, result);
    expect(await read(peer, "b")).toEqual({
      ...before,
      status: ending,
      [time]: result.at,
      outputFileId: "file-out",
      errorFileId: "file-err",
      counts: result.counts,
      usage: result.usage,
    });
    expect(await peer.files.get(PROJECT, "file-out", 0)).toEqual(outputFile);
    expect(await peer.files.get(PROJECT, "file-err", 0)).toEqual(errorFile);
    const lost = await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch }]);
    expect(lost).toEqual(["b"]);
  });

  it("ends a batch without files, even one that was never planned", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    await store.batches.requestCancel(PROJECT, "b", 1);
    const epoch = await claimAssemblingOf(store, "b");
    const counts = { total: 0, completed: 0, failed: 0 };
    await store.batches.finish("b", epoch, { ...finishResult("cancelled"), counts });
    expect(await read(store, "b")).toMatchObject({
      status: "cancelled",
      outputFileId: null,
      errorFileId: null,
      counts,
    });
  });

  it("refuses to end a batch twice, or by a claim that was given back", async () => {
    const { store } = await open();
    await batchStates["finalizing"]!(store, "b");
    const released = await claimAssemblingOf(store, "b");
    await store.batches.releaseClaim("b", released);
    const finish = (epoch: number) =>
      store.batches.finish("b", epoch, finishResult("completed", { outputFile }));
    await expect(finish(released)).rejects.toThrow(LeaseLostError);
    const epoch = await claimAssemblingOf(store, "b");
    await finish(epoch);
    await expect(finish(epoch)).rejects.toThrow(LeaseLostError);
    await expect(store.batches.finish("unknown", 1, finishResult("completed"))).rejects.toThrow(
      LeaseLostError,
    );
  });

  it("changes nothing when a cancel came in between; the same claim can assemble again", async () => {
    const { store } = await open();
    await batchStates["finalizing"]!(store, "b");
    const epoch = await claimAssemblingOf(store, "b");
    await store.batches.requestCancel(PROJECT, "b", 4_000);
    const before = await read(store, "b");
    await expect(
      store.batches.finish("b", epoch, finishResult("completed", { outputFile })),
    ).rejects.toThrow(ConflictError);
    expect(await read(store, "b")).toEqual(before);
    expect(await store.files.getRetained("file-out")).toBeUndefined();
    await store.batches.finish("b", epoch, finishResult("cancelled", { outputFile }));
    expect(await read(store, "b")).toMatchObject({ status: "cancelled", outputFileId: "file-out" });
  });

  it("changes nothing when the id of a file is taken", async () => {
    const { store } = await open();
    await batchStates["finalizing"]!(store, "b");
    await store.files.insert(errorFile);
    const epoch = await claimAssemblingOf(store, "b");
    const before = await read(store, "b");
    await expect(
      store.batches.finish("b", epoch, finishResult("completed", { outputFile, errorFile })),
    ).rejects.toThrow(ConflictError);
    expect(await read(store, "b")).toEqual(before);
    expect(await store.files.getRetained("file-out")).toBeUndefined();
    expect((await store.batches.countByStatus()).finalizing).toBe(1);
  });

  it("keeps no shards of a swept batch", async () => {
    const { store } = await open();
    await plannedBatch(store, "b");
    await settle(store, "b");
    await store.batches.finish("b", await claimAssemblingOf(store, "b"), finishResult("completed"));
    expect(await store.shards.journals("b")).toHaveLength(3);
    await store.batches.markSwept("b");
    expect(await store.shards.journals("b")).toEqual([]);
  });
}
