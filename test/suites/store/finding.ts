// Lists of batches under conditions.

import fc from "fast-check";
import { expect, it } from "vitest";
import type { BatchStatus } from "../../../src/core/batch.ts";
import type { BatchQuery, Store } from "../../../src/core/store.ts";
import {
  OTHER_PROJECT,
  PROJECT,
  aBatch,
  batchStates,
  claimOneShard,
  claimAssemblingOf,
  finishResult,
  plannedBatch,
  progressOf,
  read,
  settle,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

async function find(store: Store, query: Partial<BatchQuery>): Promise<string[]> {
  const { data } = await store.batches.list(PROJECT, { limit: 100, ...query });
  return data.map((batch) => batch.id);
}

export function findingCases(open: OpenStore): void {
  it("finds batches by status", async () => {
    const { store } = await open();
    const ended = ["failed", "completed", "expired", "cancelled"];
    const live = Object.keys(batchStates).filter((state) => !ended.includes(state));
    for (const state of [...ended, ...live]) await batchStates[state]!(store, state);
    for (const state of [...ended, "validating", "finalizing", "cancelling"]) {
      expect(await find(store, { status: state as BatchStatus })).toEqual([state]);
    }
    expect(await find(store, { status: "in_progress" })).toEqual([
      "in_progress, expired",
      "in_progress",
    ]);
  });

  it("takes keys of metadata that differ in half characters only", async () => {
    const { store } = await open();
    const metadata = { "\ud800": "x", "\ud801": "x", team: "a" };
    await store.batches.insert(aBatch("b", { metadata }));
    expect((await store.batches.get(PROJECT, "b"))?.metadata).toEqual(metadata);
    expect(await find(store, { metadata: { team: "a" } })).toEqual(["b"]);
  });

  it("finds batches by pairs of metadata, all of them", async () => {
    const { store } = await open();
    const metadata = { team: "blue", 'odd "key"': "ü \u2028" };
    await store.batches.insert(aBatch("both", { metadata }));
    await store.batches.insert(aBatch("team", { metadata: { team: "blue" } }));
    await store.batches.insert(aBatch("red", { metadata: { team: "red", blue: "team" } }));
    await store.batches.insert(aBatch("none"));
    await store.batches.insert(aBatch("other", { projectId: OTHER_PROJECT, metadata }));
    expect(await find(store, { metadata: { team: "blue" } })).toEqual(["team", "both"]);
    expect(await find(store, { metadata })).toEqual(["both"]);
    expect(await find(store, { metadata: { team: "Blue" } })).toEqual([]);
    expect(await find(store, { metadata: {} })).toEqual(["none", "red", "team", "both"]);
  });

  it("finds batches by the model that is shown, and by those that lines name", async () => {
    const { store } = await open();
    const shards = ["alias-a", "alias-b", "alias-b", ""].map(
      (requestedModel, at) => someShards(1, { requestedModel, firstEntry: at * 10 })[0]!,
    );
    await plannedBatch(store, "b", { shards, model: "shown" });
    await plannedBatch(store, "other", { batch: { projectId: OTHER_PROJECT }, model: "shown" });
    await plannedBatch(store, "unnamed", { shards: [shards[3]!], model: null });
    for (const model of ["shown", "alias-a", "alias-b"]) {
      expect(await find(store, { model })).toEqual(["b"]);
    }
    for (const model of ["model-a", "", "alias"]) expect(await find(store, { model })).toEqual([]);
  });

  it("finds batches by the model that answered last, once it is shown", async () => {
    const { store } = await open();
    await plannedBatch(store, "b", { model: "model-a" });
    const finish = async (answeredModel: string | null) => {
      const { shardId, epoch } = await claimOneShard(store, "b");
      await store.shards.finish(shardId, epoch, 1, progressOf(1, { answeredModel }), 3_000);
    };
    const found = async () => {
      const names = ["model-a", "model-a-0125", "model-a-0301"];
      const lists = await Promise.all(names.map((model) => find(store, { model })));
      return names.filter((_, index) => lists[index]!.length > 0);
    };
    await finish("model-a-0125");
    expect(await found()).toEqual(["model-a", "model-a-0125"]);
    await finish(null);
    expect(await found()).toEqual(["model-a", "model-a-0125"]);
    await finish("model-a-0301");
    expect((await read(store, "b")).model).toBe("model-a-0301");
    expect(await found()).toEqual(["model-a", "model-a-0301"]);
  });

  it("finds a batch by what its lines name after it was swept", async () => {
    const { store } = await open();
    const shards = someShards(2, { requestedModel: "alias" });
    await plannedBatch(store, "b", { shards, batch: { metadata: { a: "1" } } });
    await settle(store, "b");
    await store.batches.finish("b", await claimAssemblingOf(store, "b"), finishResult("completed"));
    await store.batches.markSwept("b");
    expect(await find(store, { model: "alias", metadata: { a: "1" } })).toEqual(["b"]);
  });

  it("finds batches created from a time on, in whichever order clocks had them created", async () => {
    const { store } = await open();
    for (const [id, createdAt] of [
      ["a", 3_000],
      ["b", 1_000],
      ["c", 2_000],
      ["d", 999],
    ] as const) {
      await store.batches.insert(aBatch(id, { createdAt }));
    }
    expect(await find(store, { createdFrom: 2_000 })).toEqual(["c", "a"]);
    expect(await find(store, { createdFrom: 2_001 })).toEqual(["a"]);
    expect(await find(store, { createdFrom: 3_001 })).toEqual([]);
    expect(await find(store, { createdFrom: 0 })).toEqual(["d", "c", "b", "a"]);
  });

  it("finds under all conditions together, page by page, as a filter of the whole list would", async () => {
    const { store } = await open();
    const values = ["x", "y"];
    for (let index = 0; index < 40; index += 1) {
      const id = `b${String(index).padStart(2, "0")}`;
      const metadata = { one: values[index % 2]!, two: values[(index >> 1) % 2]! };
      const batch = { metadata, createdAt: 1_000 + ((index * 7) % 40) };
      if (index % 3 === 0) await store.batches.insert(aBatch(id, batch));
      else await plannedBatch(store, id, { batch, model: index % 3 === 1 ? "m" : null });
      if (index % 5 === 0) await store.batches.requestCancel(PROJECT, id, 2_000);
    }
    const all = (await store.batches.list(PROJECT, { limit: 100 })).data;
    const conditions = fc.record(
      {
        status: fc.constantFrom<BatchStatus[]>("validating", "in_progress", "cancelling", "failed"),
        model: fc.constantFrom("m", "model-a", "none"),
        metadata: fc.record(
          { one: fc.constantFrom(...values), two: fc.constantFrom(...values, "none") },
          { requiredKeys: [] },
        ),
        createdFrom: fc.integer({ min: 995, max: 1_045 }),
      },
      { requiredKeys: [] },
    );
    const matches = (query: Omit<BatchQuery, "limit">) =>
      all.filter(
        (batch) =>
          batch.status === (query.status ?? batch.status) &&
          (query.model === undefined ||
            batch.model === query.model ||
            (query.model === "model-a" && batch.planKey !== null)) &&
          Object.entries(query.metadata ?? {}).every(([k, v]) => batch.metadata![k] === v) &&
          batch.createdAt >= (query.createdFrom ?? 0),
      );
    await fc.assert(
      fc.asyncProperty(conditions, fc.integer({ min: 1, max: 12 }), async (query, limit) => {
        const expected = matches(query);
        for (let from = 0; ; from += limit) {
          const after = expected[from - 1]?.id;
          const page = await store.batches.list(PROJECT, {
            ...query,
            limit,
            ...(after !== undefined && { after }),
          });
          expect(page.data).toEqual(expected.slice(from, from + limit));
          expect(page.hasMore).toBe(expected.length > from + limit);
          if (!page.hasMore) break;
        }
      }),
    );
  });

  it("goes on after any batch of the project, also one that is not found", async () => {
    const { store } = await open();
    for (const id of ["a", "b", "c"]) {
      await store.batches.insert(aBatch(id, { metadata: { kind: id === "b" ? "b" : "ac" } }));
    }
    expect(await find(store, { metadata: { kind: "ac" }, after: "b" })).toEqual(["a"]);
  });
}
