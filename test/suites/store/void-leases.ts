// Voiding all leases: what the only process does after its predecessor died.

import { expect, it } from "vitest";
import { LeaseLostError } from "../../../src/core/store.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  PROJECT,
  aBatch,
  aFile,
  aWebhook,
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

  it("frees what one owner has claimed, and nothing of another's", async () => {
    const { store, peer } = await open();
    await store.batches.insert(aBatch("theirs"));
    await claimPlanningOf(store, "theirs");
    await plannedBatch(store, "running");
    const [shard] = await claimShards(store, "running", 1);
    const query = { models: ["model-a"], owner: OTHER_NODE, leaseMs: LEASE_MS, limit: 1 };
    const [kept] = await peer.shards.claim("running", query);
    await store.voidLeasesOf(NODE);
    await store.voidLeasesOf("nobody");
    expect((await peer.batches.claimPlanning(OTHER_NODE, LEASE_MS, []))?.batch.id).toBe("theirs");
    const lost = { shardId: shard!.shardId, epoch: shard!.epoch, progress: progressOf(1) };
    const held = { shardId: kept!.shardId, epoch: kept!.epoch, progress: progressOf(1) };
    expect((await store.shards.renew(NODE, LEASE_MS, [lost])).lost).toEqual([shard!.shardId]);
    expect((await peer.shards.renew(OTHER_NODE, LEASE_MS, [held])).lost).toEqual([]);
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
    const renewal = { shardId, epoch, progress: progressOf(9) };
    expect((await store.shards.renew(NODE, LEASE_MS, [renewal])).lost).toEqual([shardId]);
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

  it("frees keys under which a request ran, and keeps those that are done", async () => {
    const { store, peer } = await open();
    const begin = (key: string) => peer.idempotency.begin(PROJECT, key, "POST /v1/files", 1_000);
    for (const key of ["running", "done"]) await begin(key);
    const idempotent = { projectId: PROJECT, key: "done", fingerprint: "f" };
    await store.files.insert(aFile("file-1"), { idempotent });
    await store.voidLeases();
    expect(await begin("running")).toEqual({ kind: "begun" });
    expect(await begin("done")).toMatchObject({ kind: "done", objectId: "file-1" });
  });

  it("makes claimed deliveries due at once, and leaves the others as they are", async () => {
    const { store, peer } = await open();
    await store.webhooks.insert(aWebhook("w"));
    for (const id of ["claimed", "delivered", "failed", "waiting"]) {
      const event = { eventId: id, eventType: "batch.failed", objectId: "b" };
      const createdAt = id === "waiting" ? 60_000 : 1_000;
      await store.webhooks.addDelivery({ ...event, id, webhookId: "w", createdAt });
    }
    await store.webhooks.claimDue(5_000, LEASE_MS, 10);
    for (const [id, nextAttemptAt] of [
      ["delivered", null],
      ["failed", 50_000],
    ] as const) {
      const error = id === "failed" ? "no answer" : null;
      await store.webhooks.recordAttempt(id, 1, { at: 5_100, status: null, error, nextAttemptAt });
    }
    await store.voidLeases();
    const due = await peer.webhooks.claimDue(5_200, LEASE_MS, 10);
    expect(due.map(({ delivery }) => [delivery.id, delivery.attempts])).toEqual([["claimed", 2]]);
    await store.webhooks.recordAttempt("claimed", 1, {
      at: 5_300,
      status: 200,
      error: null,
      nextAttemptAt: null,
    });
    // The first owner's word came too late: the second claim stands.
    expect(await peer.webhooks.claimDue(5_200 + LEASE_MS - 1, LEASE_MS, 10)).toEqual([]);
    expect(await peer.webhooks.claimDue(5_200 + LEASE_MS, LEASE_MS, 10)).toHaveLength(1);
  });
}
