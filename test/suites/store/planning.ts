// Planning: who takes it up, and how it ends.

import { expect, it } from "vitest";
import { ConflictError, LeaseLostError } from "../../../src/core/store.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  PROJECT,
  aBatch,
  batchStates,
  claimPlanningOf,
  claimShards,
  noQueueLimits,
  read,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const plan = {
  planKey: "batches/b/plan-1",
  total: 30,
  promptTokens: 500,
  model: "model-a",
  shards: someShards(3),
  limits: noQueueLimits,
  at: 2_000,
};
const errors = [
  { code: "invalid_json_line", message: 'Line 2: "{"', param: null, line: 2 },
  { code: "empty_file", message: "Nothing", param: "file", line: null },
];

export function planningCases(open: OpenStore): void {
  it("takes the oldest batch that is validating and not leased", async () => {
    const { store } = await open();
    await batchStates["in_progress"]!(store, "running");
    await batchStates["cancelling"]!(store, "stopping");
    for (const id of ["b1", "b2", "b3"]) await store.batches.insert(aBatch(id));
    const take = async (...except: string[]) =>
      (await store.batches.claimPlanning(NODE, LEASE_MS, except))?.batch.id;
    expect(await take("b1")).toBe("b2");
    expect(await take()).toBe("b1");
    expect(await take("b3")).toBeUndefined();
    expect(await take()).toBe("b3");
    expect(await take()).toBeUndefined();
  });

  it("answers the batch as it is, under an epoch of its own", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b", { metadata: { a: "1" } }));
    const claim = await store.batches.claimPlanning(NODE, LEASE_MS, []);
    const { counts: _counts, usage: _usage, ...claimed } = await read(store, "b");
    expect(claim?.batch).toEqual(claimed);
    expect(claim?.epoch).toBeGreaterThan(0);
  });

  it("gives a batch to another node when the lease is over, under a higher epoch", async () => {
    const { store, peer, clock } = await open();
    await store.batches.insert(aBatch("b"));
    const first = await store.batches.claimPlanning(NODE, LEASE_MS, []);
    clock.pass(LEASE_MS - 1);
    expect(await peer.batches.claimPlanning(OTHER_NODE, LEASE_MS, [])).toBeUndefined();
    clock.pass(1);
    const second = await peer.batches.claimPlanning(OTHER_NODE, LEASE_MS, []);
    expect(second!.epoch).toBeGreaterThan(first!.epoch);
  });

  it("gives each batch to one of two racing nodes", async () => {
    const { store, peer } = await open();
    for (let index = 0; index < 10; index += 1) await store.batches.insert(aBatch(`b${index}`));
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? store : peer).batches.claimPlanning(`node_${index % 2}`, LEASE_MS, []),
      ),
    );
    const ids = claims.flatMap((claim) => (claim === undefined ? [] : [claim.batch.id]));
    expect(ids).toHaveLength(10);
    expect(new Set(ids).size).toBe(10);
  });

  it("renews claims, also of a batch that is being cancelled", async () => {
    const { store, clock } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    await store.batches.requestCancel(PROJECT, "b", 1);
    clock.pass(LEASE_MS - 1);
    expect(await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch }])).toEqual([]);
    clock.pass(LEASE_MS - 1);
    expect(await store.batches.claimAssembling(OTHER_NODE, LEASE_MS)).toBeUndefined();
    clock.pass(1);
    expect(await store.batches.claimAssembling(OTHER_NODE, LEASE_MS)).toBeDefined();
  });

  it("answers which claims are lost, and renews the others", async () => {
    const { store, clock } = await open();
    const claims: { batchId: string; epoch: number }[] = [];
    for (const batchId of ["taken", "released", "failed", "stale", "kept"]) {
      await store.batches.insert(aBatch(batchId));
      claims.push({ batchId, epoch: await claimPlanningOf(store, batchId) });
    }
    const [taken, released, failed, stale] = claims;
    await store.batches.releaseClaim("taken", taken!.epoch);
    const exceptAllButTaken = ["released", "failed", "stale", "kept"];
    await store.batches.claimPlanning(OTHER_NODE, LEASE_MS, exceptAllButTaken);
    await store.batches.releaseClaim("released", released!.epoch);
    await store.batches.failValidation("failed", failed!.epoch, errors, 1);
    stale!.epoch -= 1;
    claims.push({ batchId: "unknown", epoch: 1 });
    clock.pass(LEASE_MS - 1);
    const lost = await store.batches.renewClaims(NODE, LEASE_MS, claims);
    expect(lost.toSorted()).toEqual(["failed", "released", "stale", "taken", "unknown"]);
    clock.pass(1);
    const free: (string | undefined)[] = [];
    for (let index = 0; index < 4; index += 1) {
      free.push((await store.batches.claimPlanning(OTHER_NODE, LEASE_MS, []))?.batch.id);
    }
    expect(free).toEqual(["taken", "released", "stale", undefined]);
    expect(await store.batches.renewClaims(NODE, LEASE_MS, [])).toEqual([]);
  });

  it("does not renew the claim of another node", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    expect(
      await store.batches.renewClaims(OTHER_NODE, LEASE_MS, [{ batchId: "b", epoch }]),
    ).toEqual(["b"]);
  });

  it("keeps a claim whose lease is over until another takes it", async () => {
    const { store, clock } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    clock.pass(LEASE_MS * 2);
    expect(await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch }])).toEqual([]);
    expect(await store.batches.claimPlanning(OTHER_NODE, LEASE_MS, [])).toBeUndefined();
  });

  it("takes a claim back at once, but not one that was lost", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const first = await claimPlanningOf(store, "b");
    await store.batches.releaseClaim("b", first);
    const second = await claimPlanningOf(store, "b");
    await store.batches.releaseClaim("b", first);
    await store.batches.releaseClaim("unknown", first);
    expect(await store.batches.claimPlanning(OTHER_NODE, LEASE_MS, [])).toBeUndefined();
    expect(
      await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch: second }]),
    ).toEqual([]);
  });

  it("notes when planning first started", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const first = await claimPlanningOf(store, "b");
    await store.batches.startPlanning("b", first, 1_500);
    await store.batches.releaseClaim("b", first);
    await expect(store.batches.startPlanning("b", first, 1_600)).rejects.toThrow(LeaseLostError);
    await store.batches.startPlanning("b", await claimPlanningOf(store, "b"), 1_700);
    expect((await read(store, "b")).planningStartedAt).toBe(1_500);
    await expect(store.batches.startPlanning("unknown", 1, 1)).rejects.toThrow(LeaseLostError);
  });

  it("turns a plan into a running batch with its shards, in one step", async () => {
    const { store, peer } = await open();
    await store.batches.insert(aBatch("b"));
    const before = await read(store, "b");
    const epoch = await claimPlanningOf(store, "b");
    await store.batches.finishPlanning("b", epoch, plan);
    expect(await read(peer, "b")).toEqual({
      ...before,
      status: "in_progress",
      inProgressAt: 2_000,
      planKey: "batches/b/plan-1",
      model: "model-a",
      counts: { total: 30, completed: 0, failed: 0 },
    });
    expect(await claimShards(peer, "b")).toHaveLength(3);
    const lost = await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch }]);
    expect(lost).toEqual(["b"]);
  });

  it("takes thousands of shards, and a plan without one model", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    const shards = someShards(5_000);
    await store.batches.finishPlanning("b", epoch, { ...plan, model: null, total: 50_000, shards });
    expect((await read(store, "b")).model).toBeNull();
    const claims = await claimShards(store, "b", 10_000);
    expect(claims.map((claim) => claim.firstEntry)).toEqual(
      shards.map((shard) => shard.firstEntry),
    );
    expect(new Set(claims.map((claim) => claim.shardId)).size).toBe(5_000);
  });

  it("refuses a plan without shards, which could never end", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    await expect(store.batches.finishPlanning("b", epoch, { ...plan, shards: [] })).rejects.toThrow(
      RangeError,
    );
    expect((await read(store, "b")).status).toBe("validating");
  });

  it("fails a batch with its errors", async () => {
    const { store, peer } = await open();
    await store.batches.insert(aBatch("b"));
    const before = await read(store, "b");
    await store.batches.setWaitingReason(["b"], "no models known yet");
    const epoch = await claimPlanningOf(store, "b");
    await store.batches.failValidation("b", epoch, errors, 2_500);
    expect(await read(peer, "b")).toEqual({
      ...before,
      status: "failed",
      failedAt: 2_500,
      errors,
    });
    const lost = await store.batches.renewClaims(NODE, LEASE_MS, [{ batchId: "b", epoch }]);
    expect(lost).toEqual(["b"]);
  });

  it("refuses the plan and the errors of a node that lost the batch", async () => {
    const { store, clock } = await open();
    await store.batches.insert(aBatch("b"));
    const lost = await claimPlanningOf(store, "b");
    clock.pass(LEASE_MS);
    await claimPlanningOf(store, "b");
    const before = await read(store, "b");
    await expect(store.batches.finishPlanning("b", lost, plan)).rejects.toThrow(LeaseLostError);
    await expect(store.batches.failValidation("b", lost, errors, 1)).rejects.toThrow(
      LeaseLostError,
    );
    await expect(store.batches.finishPlanning("unknown", 1, plan)).rejects.toThrow(LeaseLostError);
    expect(await read(store, "b")).toEqual(before);
    expect(await store.shards.claimUnfinished("b", NODE, LEASE_MS)).toEqual([]);
  });

  it("refuses the plan and the errors of a batch that was cancelled", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    const epoch = await claimPlanningOf(store, "b");
    await store.batches.requestCancel(PROJECT, "b", 1_500);
    const before = await read(store, "b");
    await expect(store.batches.finishPlanning("b", epoch, plan)).rejects.toThrow(ConflictError);
    await expect(store.batches.failValidation("b", epoch, errors, 1)).rejects.toThrow(
      ConflictError,
    );
    expect(await read(store, "b")).toEqual(before);
    expect(await store.shards.claimUnfinished("b", NODE, LEASE_MS)).toEqual([]);
  });

  it("settles a race of a plan with a cancel", async () => {
    const { store, peer } = await open();
    for (let round = 0; round < 10; round += 1) {
      const id = `b${round}`;
      await store.batches.insert(aBatch(id));
      const epoch = await claimPlanningOf(store, id);
      const finish = () => store.batches.finishPlanning(id, epoch, plan);
      const cancel = () => peer.batches.requestCancel(PROJECT, id, 4_000);
      const steps = round % 2 === 0 ? [finish(), cancel()] : [cancel(), finish()];
      const [first, second] = await Promise.allSettled(steps);
      const planned = (round % 2 === 0 ? first : second)!.status === "fulfilled";
      expect(await read(store, id)).toMatchObject({
        status: "cancelling",
        planKey: planned ? plan.planKey : null,
      });
      expect(await store.shards.claimUnfinished(id, NODE, LEASE_MS)).toHaveLength(planned ? 3 : 0);
    }
  });
}
