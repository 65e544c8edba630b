import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import type { Ending } from "../core/batch.ts";
import type { ShardProgress, ShardRenewals } from "../core/shard-store.ts";
import type { Store } from "../core/store.ts";
import { noUsage } from "../core/usage.ts";
import { Leases } from "./leases.ts";

const LEASE_MS = 30_000;
let stage: EngineStage;
const started: Leases[] = [];

beforeEach(async () => {
  stage = await openEngineStage();
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((leases) => leases.stop()));
  vi.useRealTimers();
  await stage[Symbol.asyncDispose]();
});

function leasesOf(owner: string, store: Store = stage.store): Leases {
  const { clock, log } = stage;
  const leases = new Leases({ owner, leaseMs: LEASE_MS, store, clock, log });
  started.push(leases);
  return leases;
}

const progressOf = (completed: number): ShardProgress => {
  return { completed, failed: 0, usage: noUsage(), answeredModel: null };
};

/** A shard held by node-1. */
async function heldShard(
  leases: Leases,
  progress = () => progressOf(0),
  onEnding: (ending: Ending) => void = () => undefined,
) {
  const batchId = await stage.planBatch([embeddingLine("a"), embeddingLine("b")]);
  const claim = await stage.claimShard(batchId, leases.owner);
  const lease = leases.holdShard(claim.shardId, claim.epoch, stage.clock.monotonicMs(), {
    progress,
    onEnding,
  });
  return { claim, lease };
}

/** A store that says that it has renewed when it is told to. */
function slowStore() {
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const store: Store = {
    ...stage.store,
    shards: {
      ...stage.store.shards,
      renew: async (...given) => {
        const renewed = await stage.store.shards.renew(...given);
        entered.resolve();
        await go.promise;
        return renewed;
      },
    },
  };
  return { store, entered, go };
}

/** A second goes by, with its renewal. */
async function second(): Promise<void> {
  stage.clock.pass(1_000);
  vi.advanceTimersByTime(1_000);
  // The store answers in turns of the event loop; asking it something waits for its turn.
  await stage.store.batches.countByStatus();
  await new Promise(setImmediate);
}

test("a claim is trusted for two thirds of its lease, counted from when it was asked for", async () => {
  const leases = leasesOf("node-1");
  const batchId = await stage.planBatch([embeddingLine("a")]);
  const askedMs = stage.clock.monotonicMs();
  const claim = await stage.claimShard(batchId);
  stage.clock.pass(5_000);
  const lease = leases.holdShard(claim.shardId, claim.epoch, askedMs, {
    progress: () => progressOf(0),
    onEnding: () => undefined,
  });
  stage.clock.pass(14_999);
  expect(lease.trusted()).toBe(true);
  stage.clock.pass(1);
  expect([lease.trusted(), lease.lost.aborted]).toEqual([false, false]);
});

test("trust ends by the monotonic clock alone: setting the wall clock changes nothing", async () => {
  const { lease } = await heldShard(leasesOf("node-1"));
  stage.clock.jump(86_400_000);
  expect(lease.trusted()).toBe(true);
  stage.clock.jump(-10 * 86_400_000);
  stage.clock.pass(20_000);
  expect(lease.trusted()).toBe(false);
});

test("renewing every second keeps the claim, and tells the store how far the shard is", async () => {
  let completed = 0;
  const { claim, lease } = await heldShard(leasesOf("node-1"), () => progressOf(completed));
  for (let seconds = 1; seconds <= 60; seconds++) {
    completed = seconds;
    await second();
    expect(lease.trusted()).toBe(true);
  }
  const batch = await stage.store.batches.get("default", claim.batchId);
  expect(batch?.counts.completed).toBe(60);
  await expect(stage.claimShard(claim.batchId)).rejects.toThrow("has no shard to claim");
});

test("a node that was suspended trusts its claim no more when it wakes, until a renewal has succeeded", async () => {
  const { lease } = await heldShard(leasesOf("node-1"));
  await second();
  stage.clock.pass(25_000);
  expect(lease.trusted()).toBe(false);
  await second();
  expect([lease.trusted(), lease.lost.aborted]).toEqual([true, false]);
});

test("a claim that another node has taken over is lost at the next renewal", async () => {
  const { claim, lease } = await heldShard(leasesOf("node-1"));
  stage.clock.pass(LEASE_MS + 1);
  const [taken] = await stage.store.shards.claimUnfinished(claim.batchId, "node-2", LEASE_MS);
  expect(taken?.epoch).toBe(claim.epoch + 1);
  expect(lease.lost.aborted).toBe(false);
  await second();
  expect([lease.trusted(), lease.lost.aborted]).toEqual([false, true]);
  expect(stage.logged()).toContainEqual(
    expect.objectContaining({ level: "warn", claim: claim.shardId, epoch: claim.epoch }),
  );
});

test("a shard that this node claims again, after its lease had run out, is lost to its older claim", async () => {
  const leases = leasesOf("node-1");
  const { claim, lease } = await heldShard(leases);
  stage.clock.pass(LEASE_MS + 1);
  const again = await stage.claimShard(claim.batchId, leases.owner);
  expect(again).toMatchObject({ shardId: claim.shardId, epoch: claim.epoch + 1 });
  const newer = leases.holdShard(again.shardId, again.epoch, stage.clock.monotonicMs(), {
    progress: () => progressOf(1),
    onEnding: () => undefined,
  });
  expect([lease.trusted(), lease.lost.aborted]).toEqual([false, true]);
  for (let seconds = 0; seconds < 30; seconds++) await second();
  expect([lease.trusted(), newer.trusted(), newer.lost.aborted]).toEqual([false, true, false]);
});

test("who holds a shard learns of the ending of its batch with the next renewal, and of none before", async () => {
  const leases = leasesOf("node-1");
  const endings: Ending[] = [];
  const { claim } = await heldShard(leases, undefined, (ending) => endings.push(ending));
  await second();
  expect(endings).toEqual([]);
  await stage.store.batches.requestCancel("default", claim.batchId, stage.clock.now());
  await second();
  expect(endings).toEqual(["cancelled"]);
});

test("a renewal that is asked for tells of what was so before, even while another one is under way", async () => {
  const { store, entered, go } = slowStore();
  const leases = leasesOf("node-1", store);
  const endings: Ending[] = [];
  const { claim } = await heldShard(leases, undefined, (ending) => endings.push(ending));
  vi.advanceTimersByTime(1_000);
  await entered.promise;
  await stage.store.batches.requestCancel("default", claim.batchId, stage.clock.now());
  const renewed = leases.renewNow();
  go.resolve();
  await renewed;
  expect(endings).toEqual(["cancelled"]);
});

test("the trust window is counted from the start of a renewal, not from its end", async () => {
  const { store, entered, go } = slowStore();
  const { lease } = await heldShard(leasesOf("node-1", store));
  stage.clock.pass(1_000);
  vi.advanceTimersByTime(1_000);
  await entered.promise;
  stage.clock.pass(15_000);
  go.resolve();
  await new Promise(setImmediate);
  stage.clock.pass(4_999);
  expect(lease.trusted()).toBe(true);
  stage.clock.pass(1);
  expect(lease.trusted()).toBe(false);
});

test("while a renewal hangs no others queue up behind it", async () => {
  let renewals = 0;
  const hang = Promise.withResolvers<ShardRenewals>();
  const store: Store = {
    ...stage.store,
    shards: {
      ...stage.store.shards,
      renew: (...given) => (++renewals === 1 ? hang.promise : stage.store.shards.renew(...given)),
    },
  };
  await heldShard(leasesOf("node-1", store));
  for (let seconds = 0; seconds < 10; seconds++) await second();
  expect(renewals).toBe(1);
  hang.resolve({ lost: [], endings: new Map() });
  await second();
  await second();
  expect(renewals).toBeLessThanOrEqual(3);
});

test("renewals that fail are logged once, tried again, and lend no trust", async () => {
  let broken = true;
  const store: Store = {
    ...stage.store,
    shards: {
      ...stage.store.shards,
      renew: (...given) =>
        broken ? Promise.reject(new Error("no database")) : stage.store.shards.renew(...given),
    },
  };
  const { lease } = await heldShard(leasesOf("node-1", store));
  for (let seconds = 0; seconds < 20; seconds++) await second();
  expect([lease.trusted(), lease.lost.aborted]).toEqual([false, false]);
  expect(stage.logged().filter(({ level }) => level === "error")).toHaveLength(1);
  broken = false;
  await second();
  expect(lease.trusted()).toBe(true);
  expect(stage.logged().at(-1)).toMatchObject({ level: "info", msg: "leases are renewed again" });
});

test("the claim of a batch is renewed along with the shards, and lost in the same way", async () => {
  const leases = leasesOf("node-1");
  const { claim } = await heldShard(leases);
  await stage.store.batches.requestCancel("default", claim.batchId, stage.clock.now());
  await stage.store.shards.release(claim.shardId, claim.epoch, 0, progressOf(0));
  const batch = await stage.store.batches.claimAssembling("node-1", LEASE_MS);
  const lease = leases.holdBatch(claim.batchId, batch!.epoch);
  for (let seconds = 0; seconds < 40; seconds++) await second();
  expect([lease.trusted(), lease.lost.aborted]).toEqual([true, false]);
  stage.clock.pass(LEASE_MS + 1);
  expect(await stage.store.batches.claimAssembling("node-2", LEASE_MS)).toBeDefined();
  await second();
  expect(lease.lost.aborted).toBe(true);
});

test("a claim that ends in the same commit as its renewal is not taken for lost", async () => {
  const inputFileId = await stage.storeFile("");
  await stage.insertBatch(inputFileId);
  const leases = leasesOf("node-1");
  const claim = (await stage.store.batches.claimPlanning("node-1", LEASE_MS, []))!;
  const lease = leases.holdBatch(claim.batch.id, claim.epoch);
  const ended = stage.store.batches.failValidation(claim.batch.id, claim.epoch, [], 1);
  const released = ended.then(() => Promise.resolve()).then(() => lease.release());
  await Promise.all([second(), released]);
  expect(lease.lost.aborted).toBe(false);
  expect(stage.logged()).toEqual([]);
});

test("what was given back is renewed no more, and the last one ends the timer", async () => {
  const { claim, lease } = await heldShard(leasesOf("node-1"));
  expect(vi.getTimerCount()).toBe(1);
  lease.release();
  expect(vi.getTimerCount()).toBe(0);
  stage.clock.pass(LEASE_MS + 1);
  expect(await stage.claimShard(claim.batchId)).toMatchObject({ shardId: claim.shardId });
});

test("stopping waits for the renewal under way", async () => {
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<ShardRenewals>();
  const store: Store = {
    ...stage.store,
    shards: {
      ...stage.store.shards,
      renew: () => {
        entered.resolve();
        return go.promise;
      },
    },
  };
  const leases = leasesOf("node-1", store);
  await heldShard(leases);
  vi.advanceTimersByTime(1_000);
  await entered.promise;
  let stopped = false;
  const stopping = leases.stop().then(() => (stopped = true));
  await new Promise(setImmediate);
  expect([stopped, vi.getTimerCount()]).toEqual([false, 0]);
  go.resolve({ lost: [], endings: new Map() });
  await stopping;
});
