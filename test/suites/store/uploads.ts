// Uploads in parts: what is pending, what it becomes, and when its parts go.

import { expect, it } from "vitest";
import { ConflictError, NotFoundError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import { OTHER_PROJECT, PROJECT, aFile, aPart, anUpload } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const limits = { maxPartBytes: 10_000, maxStoredBytes: null };
const EXPIRY = anUpload("any").expiresAt;

/** Every state of an upload but pending, and how one gets there. `now`: a time at which it is in it. */
const closings: Record<
  string,
  { now: number; close: (store: Store, id: string) => Promise<unknown> }
> = {
  completed: {
    now: 2_000,
    close: (store, id) =>
      store.uploads.complete(id, {
        file: aFile(`file-of-${id}`, { createdAt: 2_000 }),
        partIds: [],
        maxStoredBytes: null,
      }),
  },
  cancelled: { now: 2_000, close: (store, id) => store.uploads.cancel(PROJECT, id, 2_000) },
  expired: { now: EXPIRY, close: async () => {} },
};

export function uploadCases(open: OpenStore): void {
  it("gives back what was inserted", async () => {
    const { store, peer } = await open();
    const uploads = [
      anUpload("upload-1", {
        filename: 'Ünï "quoted" \u2028 name',
        fileExpiresAfterSeconds: 3_600,
      }),
      anUpload("upload-2", { purpose: "vision", mimeType: "image/png", sizeBytes: 2 ** 40 }),
    ];
    for (const upload of uploads) await store.uploads.insert(upload);
    expect(await peer.uploads.get(PROJECT, "upload-1")).toEqual(uploads[0]);
    expect(await peer.uploads.get(PROJECT, "upload-2")).toEqual(uploads[1]);
  });

  it("refuses an id that exists, and keeps the first record", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    await expect(store.uploads.insert(anUpload("upload-1", { sizeBytes: 1 }))).rejects.toThrow(
      ConflictError,
    );
    expect(await store.uploads.get(PROJECT, "upload-1")).toEqual(anUpload("upload-1"));
  });

  it("does not find what is missing or of another project", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    expect(await store.uploads.get(PROJECT, "upload-2")).toBeUndefined();
    expect(await store.uploads.get(OTHER_PROJECT, "upload-1")).toBeUndefined();
    expect(await store.uploads.cancel(PROJECT, "upload-2", 1)).toBeUndefined();
    expect(await store.uploads.cancel(OTHER_PROJECT, "upload-1", 1)).toBeUndefined();
    expect(await store.uploads.get(PROJECT, "upload-1")).toEqual(anUpload("upload-1"));
  });

  it("finds parts of the upload in the order asked for", async () => {
    const { store, peer } = await open();
    for (const id of ["upload-1", "upload-2"]) await store.uploads.insert(anUpload(id));
    const parts = ["a", "b", "c"].map((id, index) =>
      aPart(id, { sizeBytes: index * 100, sha256: String(index).repeat(64) }),
    );
    for (const part of parts) await store.uploads.addPart(PROJECT, part, limits);
    await store.uploads.addPart(PROJECT, aPart("other", { uploadId: "upload-2" }), limits);
    const asked = ["c", "unknown", "other", "a"];
    expect(await peer.uploads.parts("upload-1", asked)).toEqual([parts[2], parts[0]]);
    expect(await peer.uploads.parts("upload-1", [])).toEqual([]);
    expect(await peer.uploads.parts("upload-3", ["a"])).toEqual([]);
  });

  it("takes no part for an upload that is missing or of another project", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    for (const [projectId, uploadId] of [
      [PROJECT, "upload-2"],
      [OTHER_PROJECT, "upload-1"],
    ] as const) {
      await expect(
        store.uploads.addPart(projectId, aPart("a", { uploadId }), limits),
      ).rejects.toThrow(NotFoundError);
    }
    expect(await store.uploads.parts("upload-1", ["a"])).toEqual([]);
  });

  it("refuses a part whose id exists", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    await store.uploads.addPart(PROJECT, aPart("a"), limits);
    await expect(
      store.uploads.addPart(PROJECT, aPart("a", { sizeBytes: 1 }), limits),
    ).rejects.toThrow(ConflictError);
    expect(await store.uploads.parts("upload-1", ["a"])).toEqual([aPart("a")]);
  });

  it.each(Object.keys(closings))("takes nothing for an upload that is %s", async (state) => {
    const { store } = await open();
    const { now, close } = closings[state]!;
    await store.uploads.insert(anUpload("upload-1"));
    await close(store, "upload-1");
    const before = await store.uploads.get(PROJECT, "upload-1");
    await expect(
      store.uploads.addPart(PROJECT, aPart("late", { createdAt: now }), limits),
    ).rejects.toThrow(ConflictError);
    await expect(
      store.uploads.complete("upload-1", {
        file: aFile("file-2", { createdAt: now }),
        partIds: [],
        maxStoredBytes: null,
      }),
    ).rejects.toThrow(ConflictError);
    expect(await store.uploads.cancel(PROJECT, "upload-1", now)).toEqual(before);
    expect(await store.uploads.get(PROJECT, "upload-1")).toEqual(before);
    expect(await store.uploads.parts("upload-1", ["late"])).toEqual([]);
    expect(await store.files.getRetained("file-2")).toBeUndefined();
  });

  it("takes parts and completes until the millisecond in which it expires", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    const part = aPart("a", { createdAt: EXPIRY - 1 });
    await store.uploads.addPart(PROJECT, part, limits);
    const file = aFile("file-1", { createdAt: EXPIRY - 1 });
    await store.uploads.complete("upload-1", { file, partIds: ["a"], maxStoredBytes: null });
    expect(await store.files.get(PROJECT, "file-1", EXPIRY)).toEqual(file);
  });

  it("completes with its file in one step", async () => {
    const { store, peer } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    for (const id of ["a", "b"]) await store.uploads.addPart(PROJECT, aPart(id), limits);
    const file = aFile("file-1", { createdAt: 2_000, sizeBytes: 2_000 });
    await store.uploads.complete("upload-1", { file, partIds: ["b", "a"], maxStoredBytes: null });
    expect(await peer.uploads.get(PROJECT, "upload-1")).toEqual({
      ...anUpload("upload-1"),
      status: "completed",
      fileId: "file-1",
      partIds: ["b", "a"],
    });
    expect(await peer.files.get(PROJECT, "file-1", 2_000)).toEqual(file);
  });

  it("stays pending when the id of its file is taken", async () => {
    const { store } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    await store.files.insert(aFile("file-1"));
    const result = { file: aFile("file-1"), partIds: [], maxStoredBytes: null };
    await expect(store.uploads.complete("upload-1", result)).rejects.toThrow(ConflictError);
    expect(await store.uploads.get(PROJECT, "upload-1")).toEqual(anUpload("upload-1"));
  });

  it("cancels a pending upload", async () => {
    const { store, peer } = await open();
    await store.uploads.insert(anUpload("upload-1"));
    const cancelled = { ...anUpload("upload-1"), status: "cancelled" };
    expect(await store.uploads.cancel(PROJECT, "upload-1", 2_000)).toEqual(cancelled);
    expect(await peer.uploads.get(PROJECT, "upload-1")).toEqual(cancelled);
  });

  it("settles a race of completing, completing and cancelling", async () => {
    const { store, peer } = await open();
    for (let round = 0; round < 10; round += 1) {
      const id = `upload-${round}`;
      await store.uploads.insert(anUpload(id));
      const complete = (node: Store, fileId: string) =>
        node.uploads.complete(id, { file: aFile(fileId), partIds: [], maxStoredBytes: null });
      const ids = [`file-${round}-a`, `file-${round}-b`];
      const racers = [
        () => complete(store, ids[0]!),
        () => peer.uploads.cancel(PROJECT, id, 1_500),
        () => complete(peer, ids[1]!),
      ];
      if (round % 2 === 0) racers.reverse();
      await Promise.allSettled(racers.map((race) => race()));
      const upload = await store.uploads.get(PROJECT, id);
      const made = await store.files.existing(ids);
      expect([...made]).toEqual(upload!.status === "completed" ? [upload!.fileId] : []);
      expect(upload!.status).not.toBe("pending");
    }
  });

  it("lists what is not pending any more until its parts are gone", async () => {
    const { store } = await open();
    for (const id of ["completed", "cancelled", "expired"]) {
      await store.uploads.insert(anUpload(id));
      await store.uploads.addPart(PROJECT, aPart(`of-${id}`, { uploadId: id }), limits);
    }
    await store.uploads.insert(anUpload("pending", { expiresAt: EXPIRY + 1 }));
    for (const state of ["completed", "cancelled"]) await closings[state]!.close(store, state);
    const unswept = async (now: number) => (await store.uploads.listUnswept(now, 10)).toSorted();
    expect(await unswept(EXPIRY - 1)).toEqual(["cancelled", "completed"]);
    expect(await unswept(EXPIRY)).toEqual(["cancelled", "completed", "expired"]);
    expect(await store.uploads.listUnswept(EXPIRY, 2)).toHaveLength(2);
    const before = await store.uploads.get(PROJECT, "completed");
    for (const id of ["completed", "completed", "unknown"]) await store.uploads.markSwept(id);
    expect(await unswept(EXPIRY)).toEqual(["cancelled", "expired"]);
    expect(await store.uploads.get(PROJECT, "completed")).toEqual(before);
    expect(await store.uploads.parts("completed", ["of-completed"])).toEqual([]);
    expect(await store.uploads.parts("expired", ["of-expired"])).toHaveLength(1);
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const inserted = anUpload("upload-1");
    await store.uploads.insert(inserted);
    inserted.filename = "changed";
    await store.uploads.addPart(PROJECT, aPart("a"), limits);
    const [first, second] = await store.uploads.parts("upload-1", ["a", "a"]);
    first!.blobKey = "changed";
    expect(second).toEqual(aPart("a"));
    const partIds = ["a"];
    await store.uploads.complete("upload-1", {
      file: aFile("file-1"),
      partIds,
      maxStoredBytes: null,
    });
    partIds.push("b");
    const found = await store.uploads.get(PROJECT, "upload-1");
    (found!.partIds as string[]).push("c");
    expect(await store.uploads.get(PROJECT, "upload-1")).toMatchObject({
      filename: anUpload("upload-1").filename,
      partIds: ["a"],
    });
  });
}
