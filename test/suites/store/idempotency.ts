// Requests under an Idempotency-Key: who has the key, what the request made, when it is forgotten.

import { describe, expect, it } from "vitest";
import { IDEMPOTENCY_KEY_MS, IDEMPOTENCY_RUN_MS } from "../../../src/core/idempotency-store.ts";
import type { IdempotentRequest } from "../../../src/core/idempotency-store.ts";
import { ConflictError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import { aBeat } from "../../support/node-beat.ts";
import { OTHER_PROJECT, PROJECT, aBatch, aFile, aPart, anUpload } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const ROUTE = "POST /v1/things";
const request: IdempotentRequest = { projectId: PROJECT, key: "k", fingerprint: "f1" };
const begun = { kind: "begun" };
const running = { kind: "running" };
const done = { kind: "done", route: ROUTE, fingerprint: "f1", objectId: "object" };

const begin = (store: Store, now = 1_000, projectId = PROJECT) =>
  store.idempotency.begin(projectId, "k", ROUTE, now);

interface Maker {
  prepare?: (store: Store) => Promise<unknown>;
  make: (store: Store, id: string, createdAt: number) => Promise<unknown>;
  found: (store: Store, id: string) => Promise<unknown>;
}

/** Everything that can be made under a key. */
const makers: Record<string, Maker> = {
  "a file": {
    make: (store, id, createdAt) =>
      store.files.insert(aFile(id, { createdAt }), { idempotent: request }),
    found: (store, id) => store.files.getRetained(id),
  },
  "an upload": {
    make: (store, id, createdAt) =>
      store.uploads.insert(anUpload(id, { createdAt }), { idempotent: request }),
    found: (store, id) => store.uploads.get(PROJECT, id),
  },
  "a part": {
    prepare: (store) =>
      store.uploads.insert(anUpload("upload-1", { expiresAt: Number.MAX_SAFE_INTEGER })),
    make: (store, id, createdAt) =>
      store.uploads.addPart(
        PROJECT,
        aPart(id, { createdAt }),
        { maxPartBytes: 1e9, maxStoredBytes: null },
        request,
      ),
    found: async (store, id) => (await store.uploads.parts("upload-1", [id]))[0],
  },
  "a batch": {
    make: (store, id, createdAt) =>
      store.batches.insert(aBatch(id, { createdAt }), { idempotent: request }),
    found: (store, id) => store.batches.get(PROJECT, id),
  },
};

export function idempotencyCases(open: OpenStore): void {
  it("gives a key to one of several racing requests", async () => {
    const { store, peer } = await open();
    const states = await Promise.all([store, peer, store, peer].map((node) => begin(node)));
    expect(states.filter((state) => state.kind === "begun")).toHaveLength(1);
    expect(states.filter((state) => state.kind === "running")).toHaveLength(3);
  });

  it("keeps keys of projects, and different keys, apart", async () => {
    const { store } = await open();
    expect(await begin(store)).toEqual(begun);
    expect(await begin(store, 1_000, OTHER_PROJECT)).toEqual(begun);
    expect(await store.idempotency.begin(PROJECT, "K", ROUTE, 1_000)).toEqual(begun);
    expect(await begin(store)).toEqual(running);
  });

  describe.each(Object.keys(makers))("%s", (thing) => {
    const { prepare, make, found } = makers[thing]!;
    const started = async () => {
      const stores = await open();
      await prepare?.(stores.store);
      return stores;
    };

    it("is what a repeated request gets", async () => {
      const { store, peer } = await started();
      await begin(store);
      await make(store, "object", 1_000);
      expect(await begin(peer, 2_000)).toEqual(done);
      expect(await peer.idempotency.begin(PROJECT, "k", "POST /v1/others", 2_000)).toEqual(done);
    });

    it("is not made when its key is not running", async () => {
      const { store } = await started();
      const refused = async (id: string, at: number) => {
        await expect(make(store, id, at)).rejects.toThrow(ConflictError);
        expect(await found(store, id)).toBeUndefined();
      };
      await refused("never begun", 1_000);
      await begin(store);
      await store.idempotency.abandon(PROJECT, "k");
      await refused("abandoned", 1_000);
      await begin(store);
      await refused("run too long", 1_000 + IDEMPOTENCY_RUN_MS);
      await make(store, "object", 1_000);
      await refused("done already", 1_000);
      expect(await begin(store)).toEqual(done);
    });

    it("is made once by two racing requests under one key", async () => {
      const { store, peer } = await started();
      await begin(store);
      const outcomes = await Promise.allSettled([
        make(store, "one", 1_000),
        make(peer, "two", 1_000),
      ]);
      expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual([
        "fulfilled",
        "rejected",
      ]);
      const made = outcomes[0].status === "fulfilled" ? "one" : "two";
      expect(await begin(store)).toEqual({ ...done, objectId: made });
      expect(await found(store, made === "one" ? "two" : "one")).toBeUndefined();
    });

    it("leaves its key running when it cannot be made", async () => {
      const { store } = await started();
      await begin(store);
      await make(store, "object", 1_000);
      await begin(store, 1_000 + IDEMPOTENCY_KEY_MS);
      const repeated = make(store, "object", 1_000 + IDEMPOTENCY_KEY_MS);
      await expect(repeated).rejects.toThrow(ConflictError);
      expect(await begin(store, 1_000 + IDEMPOTENCY_KEY_MS)).toEqual(running);
    });
  });

  it("frees the key of a request that made nothing, but not one that is done", async () => {
    const { store } = await open();
    await store.idempotency.abandon(PROJECT, "k");
    await begin(store);
    await store.idempotency.abandon(OTHER_PROJECT, "k");
    expect(await begin(store)).toEqual(running);
    await store.idempotency.abandon(PROJECT, "k");
    await store.idempotency.abandon(PROJECT, "k");
    expect(await begin(store)).toEqual(begun);
    await makers["a file"]!.make(store, "object", 1_000);
    await store.idempotency.abandon(PROJECT, "k");
    expect(await begin(store)).toEqual(done);
  });

  it.each([
    ["done", IDEMPOTENCY_KEY_MS, done],
    ["running", IDEMPOTENCY_RUN_MS, running],
  ])("forgets a key that is %s when its time is over", async (_, lifeMs, state) => {
    const { store } = await open();
    await begin(store, 1_000);
    if (state === done) await makers["a file"]!.make(store, "object", 1_000);
    expect(await begin(store, 1_000 + lifeMs - 1)).toEqual(state);
    expect(await begin(store, 1_000 + lifeMs)).toEqual(begun);
    expect(await begin(store, 1_000 + lifeMs + IDEMPOTENCY_RUN_MS - 1)).toEqual(running);
  });

  it("sweeps only keys that are over", async () => {
    const { store } = await open();
    await begin(store, 1_000);
    await makers["a file"]!.make(store, "object", 1_000);
    await begin(store, 1_000, OTHER_PROJECT);
    await store.idempotency.sweep(1_000 + IDEMPOTENCY_RUN_MS - 1);
    expect(await begin(store, 1_000, OTHER_PROJECT)).toEqual(running);
    await store.idempotency.sweep(1_000 + IDEMPOTENCY_RUN_MS);
    expect(await begin(store, 1_000, OTHER_PROJECT)).toEqual(begun);
    await store.idempotency.sweep(1_000 + IDEMPOTENCY_KEY_MS - 1);
    expect(await begin(store, 1_000)).toEqual(done);
    await store.idempotency.sweep(1_000 + IDEMPOTENCY_KEY_MS);
    expect(await begin(store, 1_000)).toEqual(begun);
  });

  it("is free again when the node that runs its request is dead, and not before", async () => {
    const { store, peer, clock } = await open();
    const beginOn = (node: string) => peer.idempotency.begin(PROJECT, "k", ROUTE, 1_000, node);
    await store.nodes.beat(aBeat("node_1"), 5_000);
    expect(await beginOn("node_1")).toEqual(begun);
    await peer.idempotency.abandon(PROJECT, "k", "node_2");
    clock.pass(4_999);
    expect(await beginOn("node_2")).toEqual(running);
    clock.pass(1);
    await store.nodes.beat(aBeat("node_2"), 5_000);
    expect(await beginOn("node_2")).toEqual(begun);
    await store.batches.insert(aBatch("made", { createdAt: 1_000 }), {
      idempotent: { projectId: PROJECT, key: "k", fingerprint: "f" },
    });
    clock.pass(5_000);
    expect(await beginOn("node_1")).toMatchObject({ kind: "done", objectId: "made" });
  });
}
