// Voiding all leases: what the only process does after its predecessor died.

import { expect, it } from "vitest";
import { LeaseLostError } from "../../../src/core/store.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  aBatch,
  batchStates,
  claimAssemblingOf,
  claimPlanningOf,
  claimShards,
  finishResult,
  plannedBatch,
  progressOf,
  read,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

export function voidLeaseCases(open: OpenStore): void {
  it("frees what was claimed, at once", async () => {
    const { store } = await open();
    await batchStates["finalizing"]!(store, "ending");
    const assembling = await claimAssemblingOf(store, "ending");
    await store.batches.insert(aBatch("new"));
    const planning = await claimPlanningOf(store, "new");
    await plannedBatch(store, "running");
    const shards = await claimShards(store, "running", 2);
    await store.voidLeases();
    await store.voidLeases();
    expect((await store.batches.claimPlanning(OTHER_NODE, LEASE_MS, []))?.epoch).toBeGreaterThan(
      planning,
    );
    expect(await claimAssemblingOf(store, "ending")).toBeGreaterThan(assembling);
    const taken = await claimShards(store, "running");
    expect(taken.map((claim) => claim.epoch)).toEqual([
      shards[0]!.epoch + 1,
      shards[1]!.epoch + 1,
      shards[0]!.epoch,
    ]);
  });

  it("ends the claims themselves: their owners are dead", async () => {
    const { store } = await open();
    await batchStates["finalizing"]!(store, "ending");
    const assembling = await claimAssemblingOf(store, "ending");
    await plannedBatch(store, "running");
    const [shard] = await claimShards(store, "running", 1);
    const { shardId, epoch } = shard!;
    await store.shards.renew(NODE, LEASE_MS, [{ shardId, epoch, progress: progressOf(4) }]);
    await store.voidLeases();
    expect(
      await store.shards.renew(NODE, LEASE_MS, [{ shardId, epoch, progress: progressOf(9) }]),
    ).toEqual([shardId]);
    await expect(store.shards.release(shardId, epoch, 1, progressOf(9))).rejects.toThrow(
      LeaseLostError,
    );
    await expect(
      store.batches.finish("ending", assembling, finishResult("completed")),
    ).rejects.toThrow(LeaseLostError);
    expect((await read(store, "running")).counts.completed).toBe(4);
    expect(await store.shards.journals("running")).toEqual([
      { shardId, epoch, acceptedBytes: null },
    ]);
  });
}
