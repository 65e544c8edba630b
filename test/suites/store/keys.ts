// API keys: whose they are, when they were used, and their end.

import { expect, it } from "vitest";
import type { ApiKey } from "../../../src/core/key-store.ts";
import { ConflictError } from "../../../src/core/store.ts";
import { OTHER_PROJECT, PROJECT } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const HASH = "cd".repeat(32);
const MINUTE_MS = 60_000;

function aKey(id: string, change: Partial<ApiKey> = {}): ApiKey {
  return { id, projectId: PROJECT, createdAt: 1_000, lastUsedAt: null, revokedAt: null, ...change };
}

export function keyCases(open: OpenStore): void {
  it("finds a key with the hash of its secret", async () => {
    const { store, peer } = await open();
    await store.keys.insert(aKey("key-1"), HASH);
    await store.keys.insert(aKey("key-2", { projectId: OTHER_PROJECT }), "other");
    expect(await peer.keys.find("key-1")).toEqual({ key: aKey("key-1"), secretHash: HASH });
    expect(await peer.keys.find("key-3")).toBeUndefined();
  });

  it("refuses an id that exists, and keeps the first record", async () => {
    const { store, peer } = await open();
    const outcomes = await Promise.allSettled([
      store.keys.insert(aKey("key-1"), HASH),
      peer.keys.insert(aKey("key-1"), HASH),
    ]);
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const again = store.keys.insert(aKey("key-1", { projectId: OTHER_PROJECT }), "other");
    await expect(again).rejects.toThrow(ConflictError);
    expect(await store.keys.find("key-1")).toEqual({ key: aKey("key-1"), secretHash: HASH });
  });

  it("lists all keys, oldest first", async () => {
    const { store } = await open();
    expect(await store.keys.list()).toEqual([]);
    const keys = ["key-b", "key-a", "key-c"].map((id) => aKey(id));
    keys[1]!.projectId = OTHER_PROJECT;
    for (const key of keys) await store.keys.insert(key, HASH);
    await store.keys.revoke("key-a", 5_000);
    keys[1]!.revokedAt = 5_000;
    expect(await store.keys.list()).toEqual(keys);
  });

  it("knows whether there ever was a key", async () => {
    const { store, peer } = await open();
    expect(await store.keys.exists()).toBe(false);
    await store.keys.insert(aKey("key-1"), HASH);
    expect(await peer.keys.exists()).toBe(true);
    await store.keys.revoke("key-1", 5_000);
    expect(await peer.keys.exists()).toBe(true);
  });

  it("revokes a key once; it is still found", async () => {
    const { store, peer } = await open();
    await store.keys.insert(aKey("key-1"), HASH);
    const answers = await Promise.all(
      [store, peer].map((node) => node.keys.revoke("key-1", 5_000)),
    );
    expect(answers.filter((revoked) => revoked)).toHaveLength(1);
    expect(await store.keys.revoke("key-1", 6_000)).toBe(false);
    expect(await store.keys.revoke("key-2", 6_000)).toBe(false);
    expect((await store.keys.find("key-1"))?.key).toEqual(aKey("key-1", { revokedAt: 5_000 }));
  });

  it("notes when a key was last used, exact to a minute", async () => {
    const { store } = await open();
    await store.keys.insert(aKey("key-1"), HASH);
    await store.keys.insert(aKey("key-2"), HASH);
    await store.keys.markUsed("unknown", 10_000);
    for (const at of [10_000, 10_000 + MINUTE_MS - 1, 500_000, 500_000 + MINUTE_MS, 20_000]) {
      await store.keys.markUsed("key-1", at);
      const shown = (await store.keys.find("key-1"))!.key.lastUsedAt!;
      expect(at - shown).toBeLessThan(MINUTE_MS);
    }
    expect((await store.keys.find("key-1"))!.key.lastUsedAt).toBe(500_000 + MINUTE_MS);
    expect((await store.keys.find("key-2"))!.key.lastUsedAt).toBeNull();
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const inserted = aKey("key-1");
    await store.keys.insert(inserted, HASH);
    inserted.projectId = "changed";
    (await store.keys.find("key-1"))!.key.projectId = "changed";
    (await store.keys.list())[0]!.projectId = "changed";
    expect((await store.keys.find("key-1"))!.key).toEqual(aKey("key-1"));
  });
}
