// Journals and their seals: what counts of each epoch of a shard.

import { expect, it } from "vitest";
import type { ShardClaim } from "../../../src/core/shard-store.ts";
import { ConflictError, LeaseLostError, NotFoundError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import {
  LEASE_MS,
  OTHER_NODE,
  claimOneShard,
  claimShards,
  plannedBatch,
  progressOf,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

/** A batch of one shard that has been taken over `times` times. Answers all its claims. */
async function takenOver(store: Store, clock: FakeClock, times: number): Promise<ShardClaim[]> {
  await plannedBatch(store, "b", { shards: someShards(1) });
  const claims = [await claimOneShard(store, "b")];
  for (let index = 0; index < times; index += 1) {
    clock.pass(LEASE_MS);
    claims.push(await claimOneShard(store, "b"));
  }
  return claims;
}

export function journalCases(open: OpenStore): void {
  it("notes a journal for each epoch, from the first claim", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: someShards(2) });
    expect(await store.shards.journals("b")).toEqual([]);
    const [first] = await claimShards(store, "b", 1);
    expect(await store.shards.journals("b")).toEqual([
      { shardId: first!.shardId, epoch: first!.epoch, acceptedBytes: null },
    ]);
    expect(await store.shards.olderJournals(first!.shardId)).toEqual([]);
  });

  it("names the journals of older epochs, in their order, with their seals", async () => {
    const { store, clock } = await open();
    const claims = await takenOver(store, clock, 2);
    const [first, second, third] = claims.map((claim) => claim.epoch);
    const { shardId } = claims[0]!;
    await store.shards.seal(shardId, third!, second!, 222);
    expect(await store.shards.olderJournals(shardId)).toEqual([
      { epoch: first, acceptedBytes: null },
      { epoch: second, acceptedBytes: 222 },
    ]);
    expect(await store.shards.olderJournals("unknown")).toEqual([]);
  });

  it("seals a journal once; the same figure again is harmless", async () => {
    const { store, clock } = await open();
    const [older, current] = await takenOver(store, clock, 1);
    const { shardId, epoch } = current!;
    await store.shards.seal(shardId, epoch, older!.epoch, 0);
    await store.shards.seal(shardId, epoch, older!.epoch, 0);
    await expect(store.shards.seal(shardId, epoch, older!.epoch, 1)).rejects.toThrow(ConflictError);
    expect(await store.shards.olderJournals(shardId)).toEqual([
      { epoch: older!.epoch, acceptedBytes: 0 },
    ]);
  });

  it("never seals a journal at two figures, whoever is faster", async () => {
    const { store, peer, clock } = await open();
    const [older, current] = await takenOver(store, clock, 1);
    const { shardId, epoch } = current!;
    const outcomes = await Promise.allSettled([
      store.shards.seal(shardId, epoch, older!.epoch, 1),
      peer.shards.seal(shardId, epoch, older!.epoch, 2),
    ]);
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"]);
  });

  it("refuses the seal of a node that does not own the shard", async () => {
    const { store, clock } = await open();
    const [first, second, third] = await takenOver(store, clock, 2);
    const { shardId } = third!;
    const seal = (epoch: number) => store.shards.seal(shardId, epoch, first!.epoch, 5);
    await expect(seal(second!.epoch)).rejects.toThrow(LeaseLostError);
    await expect(seal(third!.epoch + 1)).rejects.toThrow(LeaseLostError);
    await expect(store.shards.seal("unknown", 1, 0, 5)).rejects.toThrow(LeaseLostError);
    await store.shards.release(shardId, third!.epoch, 0, progressOf(0));
    await expect(seal(third!.epoch)).rejects.toThrow(LeaseLostError);
    expect(await store.shards.olderJournals(shardId)).toEqual([
      { epoch: first!.epoch, acceptedBytes: null },
      { epoch: second!.epoch, acceptedBytes: null },
    ]);
  });

  it("seals only journals of older epochs", async () => {
    const { store, clock } = await open();
    const [, current] = await takenOver(store, clock, 1);
    const { shardId, epoch } = current!;
    for (const journalEpoch of [epoch, epoch + 1, 0]) {
      await expect(store.shards.seal(shardId, epoch, journalEpoch, 5)).rejects.toThrow(
        NotFoundError,
      );
    }
  });

  it("lists every journal of a batch by range and epoch", async () => {
    const { store, clock } = await open();
    await plannedBatch(store, "b", { shards: someShards(12).toReversed() });
    await plannedBatch(store, "other", { shards: someShards(1) });
    await claimOneShard(store, "other");
    const first = await claimShards(store, "b");
    for (const { shardId, epoch, firstEntry } of first.slice(1)) {
      await store.shards.finish(shardId, epoch, firstEntry, progressOf(10), 3_000);
    }
    clock.pass(LEASE_MS);
    const [again] = await store.shards.claimUnfinished("b", OTHER_NODE, LEASE_MS);
    await store.shards.seal(again!.shardId, again!.epoch, first[0]!.epoch, 44);
    await store.shards.release(again!.shardId, again!.epoch, 55, progressOf(10));
    expect(await store.shards.journals("b")).toEqual([
      { shardId: again!.shardId, epoch: first[0]!.epoch, acceptedBytes: 44 },
      { shardId: again!.shardId, epoch: again!.epoch, acceptedBytes: 55 },
      ...first.slice(1).map(({ shardId, epoch, firstEntry }) => ({
        shardId,
        epoch,
        acceptedBytes: firstEntry,
      })),
    ]);
    expect(await store.shards.journals("unknown")).toEqual([]);
  });
}
