// Demands, an endpoint and a model each: what can be run without some of them, and what their batches
// wait for.

import { expect, it } from "vitest";
import { batchStates, claimShards, plannedBatch, read, someShards } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const CHAT = "/v1/chat/completions";
const EMBED = "/v1/embeddings";
const shardsOf = (...models: string[]) =>
  models.flatMap((model, at) =>
    someShards(1, { model, requestedModel: `alias of ${model}`, firstEntry: at * 10 }),
  );

export function demandCases(open: OpenStore): void {
  it("lists what can be run without some demands", async () => {
    const { store } = await open();
    await plannedBatch(store, "a", { shards: shardsOf("model-a", "model-a") });
    await plannedBatch(store, "b", { shards: shardsOf("model-b") });
    await plannedBatch(store, "a and b", { shards: shardsOf("model-a", "model-b") });
    await plannedBatch(store, "a elsewhere", {
      shards: shardsOf("model-a"),
      batch: { endpoint: EMBED },
    });
    const list = async (...except: { endpoint: string; model: string }[]) =>
      (await store.batches.listRunnable(10, except)).map(({ batchId, models }) => [
        batchId,
        ...models,
      ]);
    const [chatA, chatB] = ["model-a", "model-b"].map((model) => ({ endpoint: CHAT, model }));
    expect(await list()).toEqual([
      ["a", "model-a"],
      ["b", "model-b"],
      ["a and b", "model-a", "model-b"],
      ["a elsewhere", "model-a"],
    ]);
    expect(await list(chatA!)).toEqual([
      ["b", "model-b"],
      ["a and b", "model-b"],
      ["a elsewhere", "model-a"],
    ]);
    expect(await list(chatA!, chatB!)).toEqual([["a elsewhere", "model-a"]]);
    expect(await list({ endpoint: EMBED, model: "model-a" }, chatB!)).toEqual([
      ["a", "model-a"],
      ["a and b", "model-a"],
    ]);
    expect(await list({ endpoint: EMBED, model: "alias of model-a" })).toHaveLength(4);
  });

  it("leaves out a batch whose only free shards are of such demands", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { shards: shardsOf("model-a", "model-b") });
    await claimShards(store, "b");
    const except = [{ endpoint: CHAT, model: "model-b" }];
    expect(await store.batches.listRunnable(10, except)).toEqual([]);
    expect((await store.batches.listRunnable(10))[0]?.models).toEqual(["model-b"]);
  });

  it("does not count what it leaves out against the limit", async () => {
    const { store } = await open();
    for (const id of ["a1", "a2", "a3"]) {
      await plannedBatch(store, id, { shards: shardsOf("model-a") });
    }
    await plannedBatch(store, "b", { shards: shardsOf("model-b") });
    const runnable = await store.batches.listRunnable(1, [{ endpoint: CHAT, model: "model-a" }]);
    expect(runnable.map(({ batchId }) => batchId)).toEqual(["b"]);
  });

  it("shows what the batches of one demand wait for, but for some", async () => {
    const { store, peer } = await open();
    const demand = { endpoint: CHAT, model: "model-a" };
    await plannedBatch(store, "a", { shards: shardsOf("model-a") });
    await plannedBatch(store, "a and b", { shards: shardsOf("model-b", "model-a") });
    await plannedBatch(store, "b", { shards: shardsOf("model-b") });
    await plannedBatch(store, "excepted", { shards: shardsOf("model-a") });
    await plannedBatch(store, "elsewhere", {
      shards: shardsOf("model-a"),
      batch: { endpoint: EMBED },
    });
    const shown = async () => {
      const ids = ["a", "a and b", "b", "excepted", "elsewhere"];
      return Promise.all(ids.map(async (id) => (await read(peer, id)).waitingReason));
    };
    await store.batches.setWaitingReason(["b", "excepted"], "its own");
    await store.batches.setDemandWaitingReason(demand, "is down", ["excepted", "unknown"]);
    expect(await shown()).toEqual(["is down", "is down", "its own", "its own", null]);
    await store.batches.setDemandWaitingReason(demand, "is still down", []);
    const still = "is still down";
    expect(await shown()).toEqual([still, still, "its own", still, null]);
    await store.batches.setDemandWaitingReason(demand, null, ["a and b"]);
    expect(await shown()).toEqual([null, still, "its own", null, null]);
  });

  it.each(Object.keys(batchStates))("shows it only while a batch runs: %s", async (state) => {
    const { store } = await open();
    await batchStates[state]!(store, "b");
    // Whoever has its shards.
    await claimShards(store, "b");
    await store.batches.setDemandWaitingReason({ endpoint: CHAT, model: "model-a" }, "is down", []);
    const expected = state === "in_progress" ? "is down" : null;
    expect((await read(store, "b")).waitingReason).toBe(expected);
  });
}
