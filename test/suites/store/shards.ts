// Shards: claiming, renewing, giving back, finishing.

import { expect, it } from "vitest";
import { LeaseLostError } from "../../../src/core/store.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  PROJECT,
  batchStates,
  claimOneShard,
  claimShards,
  plannedBatch,
  progressOf,
  read,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const twoModels = [
  ...someShards(2, { model: "model-b", requestedModel: "alias-b" }),
  ...someShards(1, { firstEntry: 20 }),
];

export function shardCases(open: OpenStore): void {
  it("hands out all an owner must know", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: twoModels });
    const claims = await store.shards.claim("b", {
      models: ["model-b"],
      owner: NODE,
      leaseMs: LEASE_MS,
      limit: 1,
    });
    expect(claims).toEqual([
      {
        shardId: expect.stringMatching(/^[A-Za-z0-9._-]{1,60}$/),
        batchId: "b",
        model: "model-b",
        requestedModel: "alias-b",
        firstEntry: 0,
        entryCount: 10,
        epoch: 1,
      },
    ]);
  });

  it("takes the lowest ranges of the models asked for", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: twoModels.toReversed() });
    await plannedBatch(store, "other");
    const take = async (limit: number, ...models: string[]) =>
      (await store.shards.claim("b", { models, owner: NODE, leaseMs: LEASE_MS, limit })).map(
        (claim) => claim.firstEntry,
      );
    expect(await take(5)).toEqual([]);
    expect(await take(5, "model-c")).toEqual([]);
    expect(await take(0, "model-a")).toEqual([]);
    expect(await take(5, "model-a")).toEqual([20]);
    expect(await take(1, "model-a", "model-b")).toEqual([0]);
    expect(await take(5, "model-a", "model-b")).toEqual([10]);
  });

  it("leaves out shards that are leased or done", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b");
    const done = await claimOneShard(store, "b");
    await store.shards.finish(done.shardId, done.epoch, 100, progressOf(10), 3_000);
    const leased = await claimOneShard(store, "b");
    expect(await claimShards(store, "b")).toHaveLength(1);
    clock.pass(LEASE_MS - 1);
    expect(await claimShards(store, "b")).toEqual([]);
    clock.pass(1);
    const again = await claimShards(store, "b");
    expect(again.map((claim) => claim.firstEntry)).toEqual([10, 20]);
    expect(again[0]!.epoch).toBeGreaterThan(leased.epoch);
  });

  it.each(Object.keys(batchStates).filter((state) => state !== "in_progress"))(
    "hands out no shards of a batch that is %s",
    async (state) => {
      const { store } = await open();
      await batchStates[state]!(store, "b");
      expect(await claimShards(store, "b")).toEqual([]);
      expect(await store.batches.listRunnable(10)).toEqual([]);
    },
  );

  it("hands out no shards of an unknown batch", async () => {
    const { store } = await open();
    expect(await claimShards(store, "unknown")).toEqual([]);
    expect(await store.shards.claimUnfinished("unknown", NODE, LEASE_MS)).toEqual([]);
  });

  it.each(["in_progress", "in_progress, expired", "cancelling"])(
    "hands out what a dead node left of a batch that is %s",
    async (state) => {
      const { store, clock } = await open();
      await plannedBatch(store, "b", { batch: { expiresAt: 5_000 } });
      const [done, left] = await claimShards(store, "b", 2);
      await store.shards.finish(done!.shardId, done!.epoch, 100, progressOf(10), 3_000);
      if (state === "cancelling") await store.batches.requestCancel(PROJECT, "b", 1);
      if (state === "in_progress, expired") await store.batches.expireDue(5_000);
      const { shardId, epoch } = left!;
      clock.pass(LEASE_MS);
      // Suspended until now, and fenced all the same.
      await store.shards.renew(NODE, LEASE_MS, [{ shardId, epoch, progress: progressOf(1) }]);
      for (const takeOver of [1, 2]) {
        const all = await store.shards.claimUnfinished("b", OTHER_NODE, LEASE_MS);
        expect(all.map((claim) => claim.firstEntry)).toEqual([10, 20]);
        expect(all[0]!.epoch).toBe(epoch + takeOver);
      }
      await expect(store.shards.release(shardId, epoch, 1, progressOf(1))).rejects.toThrow(
        LeaseLostError,
      );
    },
  );

  it("lists batches with shards to claim, oldest first, with the models of those shards", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b1", { shards: twoModels });
    await plannedBatch(store, "b2", { batch: { projectId: "proj_z", createdAt: 500 } });
    await batchStates["cancelling"]!(store, "b3");
    await plannedBatch(store, "b4");
    const runnable = async (limit = 10) =>
      (await store.batches.listRunnable(limit)).map((batch) => [
        batch.batchId,
        batch.models.toSorted(),
      ]);
    const { createdAt, expiresAt, endpoint, inputFileId, planKey } = await read(store, "b1");
    expect((await store.batches.listRunnable(1))[0]).toMatchObject({
      batchId: "b1",
      projectId: PROJECT,
      endpoint,
      createdAt,
      expiresAt,
      inputFileId,
      planKey,
    });
    expect(await runnable()).toEqual([
      ["b1", ["model-a", "model-b"]],
      ["b2", ["model-a"]],
      ["b4", ["model-a"]],
    ]);
    expect(await runnable(2)).toHaveLength(2);
    const [onlyOfModelA] = await claimShards(store, "b1");
    expect((await runnable(1))[0]).toEqual(["b1", ["model-b"]]);
    await claimShards(store, "b2");
    expect(await runnable()).toEqual([
      ["b1", ["model-b"]],
      ["b4", ["model-a"]],
    ]);
    await store.shards.release(onlyOfModelA!.shardId, onlyOfModelA!.epoch, 0, progressOf(0));
    clock.pass(LEASE_MS);
    expect(await runnable(2)).toEqual([
      ["b1", ["model-a", "model-b"]],
      ["b2", ["model-a"]],
    ]);
    const [done] = await claimShards(store, "b2");
    await store.shards.finish(done!.shardId, done!.epoch, 0, progressOf(10), 3_000);
    expect(await runnable()).toEqual([
      ["b1", ["model-a", "model-b"]],
      ["b4", ["model-a"]],
    ]);
  });

  it("renews leases and writes progress in one step", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b", { shards: someShards(2_000) });
    const claims = await claimShards(store, "b", 2_000);
    clock.pass(LEASE_MS - 1);
    const { lost } = await store.shards.renew(
      NODE,
      LEASE_MS,
      claims.map(({ shardId, epoch }) => ({ shardId, epoch, progress: progressOf(2) })),
    );
    expect(lost).toEqual([]);
    const batch = await read(store, "b");
    expect(batch.counts).toEqual({ total: 20_000, completed: 4_000, failed: 4_000 });
    expect(batch.usage).toEqual(progressOf(4_000).usage);
    clock.pass(LEASE_MS - 1);
    expect(await claimShards(store, "b")).toEqual([]);
    clock.pass(1);
    expect(await claimShards(store, "b", 3_000)).toHaveLength(2_000);
  });

  it("replaces progress by what is written next, also by less", async () => {
    const { store } = await open();
    await plannedBatch(store, "b");
    const { shardId, epoch } = await claimOneShard(store, "b");
    for (const completed of [5, 3]) {
      await store.shards.renew(NODE, LEASE_MS, [
        { shardId, epoch, progress: progressOf(completed) },
      ]);
    }
    expect((await read(store, "b")).counts.completed).toBe(3);
  });

  it("answers which shards are lost, and writes nothing for them", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b", { shards: someShards(5) });
    const claims = await claimShards(store, "b");
    const [kept, taken, released, done, stale] = claims;
    await store.shards.release(taken!.shardId, taken!.epoch, 0, progressOf(0));
    await claimOneShard(store, "b");
    await store.shards.release(released!.shardId, released!.epoch, 0, progressOf(0));
    await store.shards.finish(done!.shardId, done!.epoch, 0, progressOf(0), 3_000);
    clock.pass(1);
    const renewals = [kept!, taken!, released!, done!].map(({ shardId, epoch }) => ({
      shardId,
      epoch,
      progress: progressOf(4),
    }));
    renewals.push({
      shardId: stale!.shardId,
      epoch: stale!.epoch - 1,
      progress: progressOf(4),
    });
    renewals.push({ shardId: "unknown", epoch: 1, progress: progressOf(4) });
    const { lost } = await store.shards.renew(NODE, LEASE_MS, renewals);
    expect(new Set(lost)).toEqual(
      new Set([taken!.shardId, released!.shardId, done!.shardId, stale!.shardId, "unknown"]),
    );
    expect((await read(store, "b")).counts.completed).toBe(4);
    const other = await store.shards.renew(OTHER_NODE, LEASE_MS, [renewals[0]!]);
    expect(other.lost).toEqual([kept!.shardId]);
    expect((await store.shards.renew(NODE, LEASE_MS, [])).lost).toEqual([]);
  });

  it("keeps a claim whose lease is over until another takes it", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b", { shards: someShards(1) });
    const { shardId, epoch } = await claimOneShard(store, "b");
    clock.pass(LEASE_MS * 2);
    const renewal = [{ shardId, epoch, progress: progressOf(1) }];
    expect((await store.shards.renew(NODE, LEASE_MS, renewal)).lost).toEqual([]);
    expect(await claimShards(store, "b")).toEqual([]);
  });

  it("takes a shard back at once, with its progress and its journal sealed", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(1) });
    const first = await claimOneShard(store, "b");
    await store.shards.release(first.shardId, first.epoch, 77, progressOf(3));
    expect((await read(store, "b")).counts.completed).toBe(3);
    const second = await claimOneShard(store, "b");
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(await store.shards.olderJournals(first.shardId)).toEqual([
      { epoch: first.epoch, acceptedBytes: 77 },
    ]);
  });

  it("refuses the writes of an owner that lost its shard", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b", { shards: someShards(1) });
    const lost = await claimOneShard(store, "b");
    clock.pass(LEASE_MS);
    const current = await claimOneShard(store, "b");
    const attempts = [
      () => store.shards.release(lost.shardId, lost.epoch, 1, progressOf(1)),
      () => store.shards.finish(lost.shardId, lost.epoch, 1, progressOf(1), 3_000),
      () => store.shards.finish("unknown", 1, 1, progressOf(1), 3_000),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toThrow(LeaseLostError);
    expect((await read(store, "b")).counts.completed).toBe(0);
    expect(await store.shards.journals("b")).toEqual([
      { shardId: lost.shardId, epoch: lost.epoch, acceptedBytes: null },
      { shardId: lost.shardId, epoch: current.epoch, acceptedBytes: null },
    ]);
  });

  it("refuses the writes of an owner that gave its shard back or finished it", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(2) });
    const [released, done] = await claimShards(store, "b");
    await store.shards.release(released!.shardId, released!.epoch, 5, progressOf(1));
    await store.shards.finish(done!.shardId, done!.epoch, 5, progressOf(1), 3_000);
    const attempts = [released!, done!].flatMap(({ shardId, epoch }) => [
      () => store.shards.release(shardId, epoch, 9, progressOf(9)),
      () => store.shards.finish(shardId, epoch, 9, progressOf(9), 3_000),
    ]);
    for (const attempt of attempts) await expect(attempt()).rejects.toThrow(LeaseLostError);
    expect((await read(store, "b")).counts.completed).toBe(2);
    const seals = (await store.shards.journals("b")).map((journal) => journal.acceptedBytes);
    expect(seals).toEqual([5, 5]);
  });

  it("settles a batch with its last shard, and only then", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(3) });
    const [first, second, third] = await claimShards(store, "b");
    const finish = ({ shardId, epoch }: { shardId: string; epoch: number }) =>
      store.shards.finish(shardId, epoch, 100, progressOf(10), 3_333);
    expect(await finish(third!)).toEqual({ batchSettled: false });
    await store.shards.release(second!.shardId, second!.epoch, 0, progressOf(0));
    expect(await finish(first!)).toEqual({ batchSettled: false });
    expect(await read(store, "b")).toMatchObject({ status: "in_progress", finalizingAt: null });
    expect(await finish(await claimOneShard(store, "b"))).toEqual({ batchSettled: true });
    expect(await read(store, "b")).toMatchObject({
      status: "finalizing",
      ending: "completed",
      finalizingAt: 3_333,
      counts: { total: 30, completed: 30 },
    });
  });

  it("settles a batch once when its last shards are finished at the same time", async () => {
    const { store, peer } = await open();
    for (let round = 0; round < 5; round += 1) {
      await plannedBatch(store, `b${round}`, { shards: someShards(6) });
      const claims = await claimShards(store, `b${round}`);
      const outcomes = await Promise.all(
        claims.map(({ shardId, epoch }, index) =>
          (index % 2 === 0 ? store : peer).shards.finish(
            shardId,
            epoch,
            100,
            progressOf(10),
            3_000,
          ),
        ),
      );
      expect(outcomes.filter((outcome) => outcome.batchSettled)).toHaveLength(1);
    }
  });

  it.each(["cancelling", "expired"])("does not settle a batch that is %s", async (ending) => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(1), batch: { expiresAt: 5_000 } });
    const { shardId, epoch } = await claimOneShard(store, "b");
    if (ending === "cancelling") await store.batches.requestCancel(PROJECT, "b", 1);
    else await store.batches.expireDue(5_000);
    const before = await read(store, "b");
    const outcome = await store.shards.finish(shardId, epoch, 100, progressOf(10), 3_000);
    expect(outcome).toEqual({ batchSettled: false });
    expect(await read(store, "b")).toMatchObject({ status: before.status, ending: before.ending });
  });

  it("shows the model that answered", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(2) });
    const [first, second] = await claimShards(store, "b");
    const model = async () => (await read(store, "b")).model;
    await store.shards.release(first!.shardId, first!.epoch, 0, progressOf(1));
    expect(await model()).toBe("model-a");
    const answered = (answeredModel: string) => progressOf(1, { answeredModel });
    const again = await claimOneShard(store, "b");
    await store.shards.release(again.shardId, again.epoch, 0, answered("model-a-2026"));
    expect(await model()).toBe("model-a-2026");
    await store.shards.finish(second!.shardId, second!.epoch, 0, answered("model-a-2027"), 3_000);
    expect(await model()).toBe("model-a-2027");
  });

  it("gives each shard to one of two racing nodes", async () => {
    const { store, peer } = await open();
    await plannedBatch(store, "b", { shards: someShards(50) });
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, index) => claimShards(index % 2 === 0 ? store : peer, "b", 3)),
    );
    const ids = claims.flat().map((claim) => claim.shardId);
    expect(ids).toHaveLength(50);
    expect(new Set(ids).size).toBe(50);
  });

  it("counts the lines that are queued, by the progress written last", async () => {
    const { store } = await open();
    expect(await store.batches.countQueuedLines()).toBe(0);
    for (const state of ["failed", "finalizing", "cancelling", "validating", "in_progress"]) {
      await batchStates[state]!(store, state);
    }
    expect(await store.batches.countQueuedLines()).toBe(30);
    await plannedBatch(store, "b", { shards: someShards(3) });
    expect(await store.batches.countQueuedLines()).toBe(2 * 30);
    const [first, second] = await claimShards(store, "b");
    const progress = progressOf(4, { failed: 1 });
    await store.shards.renew(NODE, LEASE_MS, [
      { shardId: first!.shardId, epoch: first!.epoch, progress },
    ]);
    expect(await store.batches.countQueuedLines()).toBe(2 * 30 - 5);
    await store.shards.finish(second!.shardId, second!.epoch, 0, progressOf(10), 3_000);
    expect(await store.batches.countQueuedLines()).toBe(2 * 30 - 5 - 10);
  });
}
