// Limits of a project: bytes stored, bytes of an upload's parts, batches an hour, lines and tokens queued.

import { describe, expect, it } from "vitest";
import { newFileId } from "../../../src/core/ids.ts";
import { LimitExceededError } from "../../../src/core/store.ts";
import type { LimitName, QueueLimits, Store } from "../../../src/core/store.ts";
import {
  HOUR_MS,
  LEASE_MS,
  NODE,
  OTHER_PROJECT,
  PROJECT,
  aBatch,
  aFile,
  aPart,
  anUpload,
  batchStates,
  claimPlanningOf,
  noQueueLimits,
  plannedBatch,
  read,
  someShards,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const unlimited = { maxPartBytes: 1e9, maxStoredBytes: null };

async function expectRefused(
  attempt: Promise<unknown>,
  limit: LimitName,
  allowed: number,
): Promise<void> {
  await expect(attempt).rejects.toThrow(LimitExceededError);
  await expect(attempt).rejects.toMatchObject({ limit, allowed });
}

/** The project stores so many bytes at `at`: it may have no more with one byte less. */
async function expectStored(store: Store, bytes: number, at = 2_000): Promise<void> {
  const probe = aFile(newFileId(), { sizeBytes: 0, createdAt: at });
  await expectRefused(
    store.files.insert(probe, { maxStoredBytes: bytes - 1 }),
    "stored-bytes",
    bytes - 1,
  );
  expect(await store.files.getRetained(probe.id)).toBeUndefined();
  await store.files.insert(probe, { maxStoredBytes: bytes });
}

export function limitCases(open: OpenStore): void {
  describe("bytes stored", () => {
    it("are those of the project's visible files, and of the new one", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      await store.files.insert(aFile("expiring", { sizeBytes: 20, expiresAt: 2_001 }));
      await store.files.insert(aFile("expired", { sizeBytes: 1_000, expiresAt: 2_000 }));
      await store.files.insert(aFile("deleted", { sizeBytes: 1_000 }));
      await store.files.delete(PROJECT, "deleted", 1_500);
      await store.files.insert(aFile("reclaimed", { sizeBytes: 1_000, expiresAt: 5_000 }));
      await store.files.markReclaimed("reclaimed");
      await store.files.insert(aFile("other", { sizeBytes: 1_000, projectId: OTHER_PROJECT }));
      await expectStored(store, 120);
      const more = aFile("more", { sizeBytes: 3, createdAt: 2_000 });
      await expectRefused(store.files.insert(more, { maxStoredBytes: 122 }), "stored-bytes", 122);
      await store.files.insert(more, { maxStoredBytes: 123 });
      await expectStored(store, 103, 2_001);
    });

    it("are also those of hidden files that a batch still needs", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      await store.files.insert(aFile("input", { sizeBytes: 20 }));
      await store.files.insert(aFile("expired input", { sizeBytes: 3, expiresAt: 1_500 }));
      await store.batches.insert(aBatch("b", { inputFileId: "input" }));
      await store.batches.insert(aBatch("b2", { inputFileId: "expired input" }));
      await store.files.delete(PROJECT, "input", 1_200);
      await expectStored(store, 123);
      const epoch = await claimPlanningOf(store, "b");
      await store.batches.failValidation("b", epoch, [], 1_300);
      await expectStored(store, 103);
    });

    it("have no limit unless one is given", async () => {
      const { store } = await open();
      await store.files.insert(aFile("huge", { sizeBytes: 2 ** 52 }), { maxStoredBytes: null });
      await store.files.insert(aFile("more", { sizeBytes: 2 ** 51 }));
      await expectStored(store, 2 ** 52 + 2 ** 51);
    });

    it("are also those of the parts of uploads, while they are pending", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      for (const id of ["upload-1", "cancelled", "upload-of-other"]) {
        const projectId = id === "upload-of-other" ? OTHER_PROJECT : PROJECT;
        await store.uploads.insert(anUpload(id, { projectId, expiresAt: 2_001 }));
        const part = aPart(`of-${id}`, { uploadId: id, sizeBytes: 20 });
        await store.uploads.addPart(projectId, part, unlimited);
      }
      await expectStored(store, 140);
      await store.uploads.cancel(PROJECT, "cancelled", 1_800);
      await expectStored(store, 120);
      await store.uploads.markSwept("cancelled");
      await expectStored(store, 120);
      await expectStored(store, 100, 2_001);
    });

    it("limit parts", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      await store.uploads.insert(anUpload("upload-1"));
      const add = (id: string, sizeBytes: number) =>
        store.uploads.addPart(PROJECT, aPart(id, { sizeBytes }), {
          maxPartBytes: 1e9,
          maxStoredBytes: 120,
        });
      await add("a", 15);
      await expectRefused(add("b", 6), "stored-bytes", 120);
      expect(await store.uploads.parts("upload-1", ["a", "b"])).toHaveLength(1);
      await add("c", 5);
      await expectStored(store, 120);
    });

    it("limit what is announced, without reserving it", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      const announce = (id: string, sizeBytes: number) =>
        store.uploads.insert(anUpload(id, { sizeBytes }), { maxStoredBytes: 120 });
      await expectRefused(announce("too-much", 21), "stored-bytes", 120);
      expect(await store.uploads.get(PROJECT, "too-much")).toBeUndefined();
      await announce("a", 20);
      await announce("b", 20);
      await expectStored(store, 100);
    });

    it("count a completed upload's file instead of its parts", async () => {
      const { store } = await open();
      await store.files.insert(aFile("kept", { sizeBytes: 100 }));
      await store.uploads.insert(anUpload("upload-1"));
      for (const [id, sizeBytes] of [
        ["a", 20],
        ["unused", 7],
      ] as const) {
        await store.uploads.addPart(PROJECT, aPart(id, { sizeBytes }), unlimited);
      }
      await expectStored(store, 127);
      const complete = (maxStoredBytes: number) =>
        store.uploads.complete("upload-1", {
          file: aFile("made", { sizeBytes: 20, createdAt: 2_000 }),
          partIds: ["a"],
          maxStoredBytes,
        });
      await expectRefused(complete(119), "stored-bytes", 119);
      expect(await store.uploads.get(PROJECT, "upload-1")).toEqual(anUpload("upload-1"));
      expect(await store.files.getRetained("made")).toBeUndefined();
      await complete(120);
      await expectStored(store, 120);
    });

    it("stay within the limit when two racing uploads would exceed it together", async () => {
      const { store, peer } = await open();
      const outcomes = await Promise.allSettled(
        [store, peer].map((node, index) =>
          node.files.insert(aFile(`file-${index}`, { sizeBytes: 60 }), { maxStoredBytes: 100 }),
        ),
      );
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
      await expectStored(store, 60);
    });
  });

  it("limits the bytes of all parts of an upload", async () => {
    const { store, peer } = await open();
    for (const id of ["upload-1", "upload-2"]) await store.uploads.insert(anUpload(id));
    const add = (node: Store, id: string, sizeBytes: number, uploadId = "upload-1") =>
      node.uploads.addPart(PROJECT, aPart(id, { uploadId, sizeBytes }), {
        maxPartBytes: 100,
        maxStoredBytes: null,
      });
    await add(store, "a", 40);
    await add(store, "other", 100, "upload-2");
    await expectRefused(add(store, "b", 61), "part-bytes", 100);
    await Promise.allSettled([add(store, "c", 50), add(peer, "d", 50)]);
    expect(await store.uploads.parts("upload-1", ["a", "b", "c", "d"])).toHaveLength(2);
    await add(store, "e", 10);
    await expectRefused(add(store, "f", 1), "part-bytes", 100);
  });

  describe("batches created", () => {
    const create = (store: Store, id: string, createdAt: number, maxPerHour: number | null = 2) =>
      store.batches.insert(aBatch(id, { createdAt }), { maxPerHour });

    it("are limited within the hour before, whatever became of them", async () => {
      const { store } = await open();
      const other = aBatch("other", { projectId: OTHER_PROJECT });
      await store.batches.insert(other, { maxPerHour: 2 });
      await create(store, "a", 1_000);
      await store.batches.failValidation("a", await claimPlanningOf(store, "a"), [], 1_500);
      await create(store, "b", 2_000);
      const atEnd = 1_000 + HOUR_MS;
      await expectRefused(create(store, "c", atEnd - 1), "batches-per-hour", 2);
      expect(await store.batches.get(PROJECT, "c")).toBeUndefined();
      expect((await store.batches.countByStatus()).validating).toBe(2);
      await create(store, "c", atEnd);
      await expectRefused(create(store, "d", atEnd), "batches-per-hour", 2);
    });

    it("have no limit unless one is given", async () => {
      const { store } = await open();
      for (const id of ["a", "b", "c"]) await create(store, id, 1_000, null);
      await store.batches.insert(aBatch("d"));
      await expectRefused(create(store, "e", 1_000), "batches-per-hour", 2);
      await expectRefused(create(store, "e", 1_000 + HOUR_MS, 0), "batches-per-hour", 0);
    });

    it("stay within the limit when two race", async () => {
      const { store, peer } = await open();
      await create(store, "a", 1_000);
      const outcomes = await Promise.allSettled([
        create(store, "b", 1_000),
        create(peer, "c", 1_000),
      ]);
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    });
  });

  describe("lines and tokens queued", () => {
    // Of 30 lines and 500 tokens, as every planned batch of this suite.
    const plan = (store: Store, id: string, limits: Partial<QueueLimits>) =>
      plannedBatch(store, id, { limits: { ...noQueueLimits, ...limits } });

    it.each([
      ["queued-lines", "lines", 30],
      ["queued-prompt-tokens", "promptTokens", 500],
    ] as const)(
      "%s are those of planned batches that have not ended",
      async (name, figure, one) => {
        const { store } = await open();
        for (const state of ["failed", "completed", "expired", "cancelled"]) {
          await batchStates[state]!(store, state);
        }
        await batchStates["validating"]!(store, "validating");
        await plannedBatch(store, "other", { batch: { projectId: OTHER_PROJECT } });
        await expectRefused(plan(store, "first", { [figure]: one - 1 }), name, one - 1);
        await plan(store, "second", { [figure]: one });
        const live = ["in_progress", "in_progress, expired", "finalizing", "cancelling"];
        for (const state of live) await batchStates[state]!(store, state);
        await expectRefused(plan(store, "third", { [figure]: one * 6 - 1 }), name, one * 6 - 1);
        await plan(store, "fourth", { [figure]: one * 6 });
      },
    );

    it("leave a batch that is too much validating, and claimed", async () => {
      const { store } = await open();
      await expectRefused(plan(store, "b", { lines: 29, promptTokens: 500 }), "queued-lines", 29);
      expect(await read(store, "b")).toMatchObject({ status: "validating", planKey: null });
      const claims = [{ batchId: "b", epoch: 1 }];
      expect(await store.batches.renewClaims(NODE, LEASE_MS, claims)).toEqual([]);
      await store.batches.failValidation("b", 1, [], 2_500);
      expect((await read(store, "b")).status).toBe("failed");
    });

    it("stay within the limit when two plans race", async () => {
      const { store, peer } = await open();
      const finishes: (() => Promise<void>)[] = [];
      for (const [id, node] of [
        ["a", store],
        ["b", peer],
      ] as const) {
        await store.batches.insert(aBatch(id));
        const epoch = await claimPlanningOf(store, id);
        finishes.push(() =>
          node.batches.finishPlanning(id, epoch, {
            planKey: id,
            total: 10,
            promptTokens: 1,
            model: null,
            shards: someShards(1),
            limits: { lines: 15, promptTokens: null },
            at: 2_000,
          }),
        );
      }
      const outcomes = await Promise.allSettled(finishes.map((finish) => finish()));
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    });
  });
}
