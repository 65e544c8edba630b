// Batches as clients see them: creation, figures, cancelling, reasons.

import { expect, it } from "vitest";
import { batchStatuses } from "../../../src/core/batch.ts";
import { ConflictError } from "../../../src/core/store.ts";
import { noUsage } from "../../../src/core/usage.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_PROJECT,
  PROJECT,
  aBatch,
  batchStates,
  claimAssemblingOf,
  claimShards,
  finishResult,
  plannedBatch,
  progressOf,
  read,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

export function batchCases(open: OpenStore): void {
  it("starts a batch as validating, with nothing else decided", async () => {
    const { store } = await open();
    const batch = aBatch("b", {
      metadata: { kind: 'night "run"', clé: "\u2028" },
      outputExpiresAfterSeconds: 3_600,
    });
    const expected = {
      ...batch,
      status: "validating",
      ending: null,
      model: null,
      errors: null,
      outputFileId: null,
      errorFileId: null,
      inProgressAt: null,
      finalizingAt: null,
      completedAt: null,
      failedAt: null,
      expiredAt: null,
      cancellingAt: null,
      cancelledAt: null,
      counts: { total: 0, completed: 0, failed: 0 },
      usage: noUsage(),
      planningStartedAt: null,
      planKey: null,
      waitingReason: null,
    };
    expect(await store.batches.insert(batch)).toEqual(expected);
    expect(await read(store, "b")).toEqual(expected);
  });

  it("refuses an id that exists, and keeps the first record", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    await expect(store.batches.insert(aBatch("b", { endpoint: "/v1/other" }))).rejects.toThrow(
      ConflictError,
    );
    expect((await read(store, "b")).endpoint).toBe("/v1/chat/completions");
    expect((await store.batches.countByStatus()).validating).toBe(1);
  });

  it("does not find what is missing or of another project", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    expect(await store.batches.get(PROJECT, "c")).toBeUndefined();
    expect(await store.batches.get(OTHER_PROJECT, "b")).toBeUndefined();
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const inserted = aBatch("b", { metadata: { a: "1" } });
    const answer = await store.batches.insert(inserted);
    inserted.metadata!["a"] = "changed";
    answer.counts.completed = 99;
    answer.metadata!["a"] = "changed";
    const found = await read(store, "b");
    found.usage.inputTokens = 99;
    const again = await read(store, "b");
    expect(again.metadata).toEqual({ a: "1" });
    expect(again.counts.completed).toBe(0);
    expect(again.usage).toEqual(noUsage());
  });

  it("sums counts and usage over the shards while a batch runs", async () => {
    const { store, peer } = await open();
    await plannedBatch(store, "other");
    await plannedBatch(store, "b");
    const [first, second] = await claimShards(store, "b", 2);
    await store.shards.renew(NODE, LEASE_MS, [
      { shardId: first!.shardId, epoch: first!.epoch, progress: progressOf(4) },
    ]);
    await store.shards.finish(second!.shardId, second!.epoch, 100, progressOf(8), 3_000);
    const batch = await read(peer, "b");
    expect(batch.counts).toEqual({ total: 30, completed: 12, failed: 1 + 2 });
    expect(batch.usage).toEqual(progressOf(12).usage);
    const listed = await peer.batches.list(PROJECT, { limit: 10 });
    expect(listed.data.map(({ id, counts }) => [id, counts.completed])).toEqual([
      ["b", 12],
      ["other", 0],
    ]);
    expect(listed.data[0]).toEqual(batch);
  });

  it("shows the same figures while a batch is finalizing or cancelling", async () => {
    const { store } = await open();
    for (const id of ["settled", "stopped"]) {
      await plannedBatch(store, id, { shards: someShards(1) });
      const [shard] = await claimShards(store, id);
      await store.shards.renew(NODE, LEASE_MS, [
        { shardId: shard!.shardId, epoch: shard!.epoch, progress: progressOf(4) },
      ]);
      if (id === "settled") {
        await store.shards.finish(shard!.shardId, shard!.epoch, 100, progressOf(4), 3_000);
      } else {
        await store.batches.requestCancel(PROJECT, id, 4_000);
      }
      expect((await read(store, id)).counts).toEqual({ total: 10, completed: 4, failed: 1 });
    }
  });

  it("fixes counts and usage when a batch ends", async () => {
    const { store } = await open();
    await batchStates["completed"]!(store, "b");
    const { counts, usage } = finishResult("completed");
    const check = async () => {
      const batch = await read(store, "b");
      expect(batch.counts).toEqual(counts);
      expect(batch.usage).toEqual(usage);
    };
    await check();
    await store.batches.markSwept("b");
    await check();
  });

  it.each(["validating", "in_progress", "in_progress, expired", "finalizing"])(
    "cancels a batch that is %s",
    async (state) => {
      const { store } = await open();
      await batchStates[state]!(store, "b");
      const before = await read(store, "b");
      const answer = await store.batches.requestCancel(PROJECT, "b", 4_444);
      const expected = {
        ...before,
        status: "cancelling",
        ending: "cancelled",
        cancellingAt: 4_444,
      };
      expect(answer).toEqual(expected);
      expect(await read(store, "b")).toEqual(expected);
    },
  );

  it.each(["cancelling", "cancelled", "completed", "failed", "expired"])(
    "changes nothing when asked to cancel a batch that is %s",
    async (state) => {
      const { store } = await open();
      await batchStates[state]!(store, "b");
      const before = await read(store, "b");
      expect(await store.batches.requestCancel(PROJECT, "b", 9_999)).toEqual(before);
      expect(await read(store, "b")).toEqual(before);
    },
  );

  it("finds nothing to cancel when there is none", async () => {
    const { store } = await open();
    await store.batches.insert(aBatch("b"));
    expect(await store.batches.requestCancel(PROJECT, "c", 1)).toBeUndefined();
    expect(await store.batches.requestCancel(OTHER_PROJECT, "b", 1)).toBeUndefined();
    expect((await read(store, "b")).status).toBe("validating");
  });

  it("sets and clears the reason shown, except for batches that have ended", async () => {
    const { store } = await open();
    await batchStates["completed"]!(store, "ended");
    await store.batches.insert(aBatch("b"));
    await store.batches.setWaitingReason(["b", "ended", "unknown"], "no upstream answers");
    expect((await read(store, "b")).waitingReason).toBe("no upstream answers");
    expect((await read(store, "ended")).waitingReason).toBeNull();
    await store.batches.setWaitingReason(["b"], "no upstream answers");
    await store.batches.setWaitingReason(["b"], "still none");
    expect((await read(store, "b")).waitingReason).toBe("still none");
    await store.batches.setWaitingReason(["b", "ended"], null);
    await store.batches.setWaitingReason([], "nobody's");
    expect((await read(store, "b")).waitingReason).toBeNull();
  });

  it("counts batches in every status, wherever they came from", async () => {
    const { store } = await open();
    const none = Object.fromEntries(batchStatuses.map((status) => [status, 0]));
    expect(await store.batches.countByStatus()).toEqual(none);
    const ended = ["failed", "completed", "expired", "cancelled"];
    const live = Object.keys(batchStates).filter((state) => !ended.includes(state));
    for (const state of [...ended, ...live]) await batchStates[state]!(store, state);
    const one = Object.fromEntries(batchStatuses.map((status) => [status, 1]));
    expect(await store.batches.countByStatus()).toEqual({ ...one, in_progress: 2 });
  });

  it("lists ended batches until they are swept, oldest first", async () => {
    const { store } = await open();
    const ended = ["failed", "completed", "expired", "cancelled"];
    for (const state of [...ended, "in_progress", "validating"]) {
      await batchStates[state]!(store, state);
    }
    expect(await store.batches.listUnswept(10)).toEqual(ended);
    expect(await store.batches.listUnswept(2)).toEqual(["failed", "completed"]);
    for (const id of ["completed", "completed", "in_progress", "unknown"]) {
      await store.batches.markSwept(id);
    }
    expect(await store.batches.listUnswept(10)).toEqual(["failed", "expired", "cancelled"]);
    expect(await claimShards(store, "in_progress")).toHaveLength(3);
  });

  it("says which of two racing ends a batch comes to", async () => {
    const { store, peer } = await open();
    for (let round = 0; round < 10; round += 1) {
      const id = `b${round}`;
      await batchStates["finalizing"]!(store, id);
      const epoch = await claimAssemblingOf(store, id);
      const finish = () => store.batches.finish(id, epoch, finishResult("completed"));
      const cancel = () => peer.batches.requestCancel(PROJECT, id, 4_000);
      const steps = round % 2 === 0 ? [finish(), cancel()] : [cancel(), finish()];
      await Promise.allSettled(steps);
      const batch = await read(store, id);
      if (batch.status === "completed") {
        expect(batch).toMatchObject({ ending: "completed", cancellingAt: null });
      } else {
        expect(batch).toMatchObject({ status: "cancelling", completedAt: null });
        await store.batches.finish(id, epoch, finishResult("cancelled"));
      }
    }
  });
}
