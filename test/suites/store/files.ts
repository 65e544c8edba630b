// Files: visibility, tombstones, and whose bytes may go.

import { expect, it } from "vitest";
import { ConflictError } from "../../../src/core/store.ts";
import { OTHER_PROJECT, PROJECT, aBatch, aFile, batchStates } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

export function fileCases(open: OpenStore): void {
  it("gives back what was inserted", async () => {
    const { store } = await open();
    const files = [
      aFile("file-1", { filename: 'Ünï "quoted" \u2028 name', expiresAt: 9_000 }),
      aFile("file-2", { purpose: "batch_output", sha256: null, sizeBytes: 2 ** 40 }),
    ];
    for (const file of files) await store.files.insert(file);
    expect(await store.files.get(PROJECT, "file-1", 0)).toEqual(files[0]);
    expect(await store.files.get(PROJECT, "file-2", 0)).toEqual(files[1]);
  });

  it("refuses an id that exists, and keeps the first record", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    await expect(store.files.insert(aFile("file-1", { filename: "second" }))).rejects.toThrow(
      ConflictError,
    );
    expect(await store.files.get(PROJECT, "file-1", 0)).toEqual(aFile("file-1"));
  });

  it("lets one of two racing inserts of an id succeed", async () => {
    const { store, peer } = await open();
    const outcomes = await Promise.allSettled(
      [store, peer].map((node) => node.files.insert(aFile("file-1"))),
    );
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"]);
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const inserted = aFile("file-1");
    await store.files.insert(inserted);
    inserted.filename = "changed";
    const first = await store.files.get(PROJECT, "file-1", 0);
    first!.filename = "changed";
    expect(await store.files.get(PROJECT, "file-1", 0)).toEqual(aFile("file-1"));
  });

  it("does not find what is missing or of another project", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    expect(await store.files.get(PROJECT, "file-2", 0)).toBeUndefined();
    expect(await store.files.get(OTHER_PROJECT, "file-1", 0)).toBeUndefined();
  });

  it("hides a file from the millisecond in which it expires", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1", { expiresAt: 5_000 }));
    expect(await store.files.get(PROJECT, "file-1", 4_999)).toBeDefined();
    expect(await store.files.get(PROJECT, "file-1", 5_000)).toBeUndefined();
  });

  it("deletes once, and only a visible file of the project", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    await store.files.insert(aFile("file-2", { expiresAt: 5_000 }));
    expect(await store.files.delete(OTHER_PROJECT, "file-1", 1)).toBe(false);
    expect(await store.files.delete(PROJECT, "file-3", 1)).toBe(false);
    expect(await store.files.delete(PROJECT, "file-2", 5_000)).toBe(false);
    expect(await store.files.delete(PROJECT, "file-1", 1)).toBe(true);
    expect(await store.files.delete(PROJECT, "file-1", 1)).toBe(false);
    expect(await store.files.get(PROJECT, "file-1", 1)).toBeUndefined();
  });

  it("keeps a deleted or reclaimed file hidden from callers whose clock is behind", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    await store.files.delete(PROJECT, "file-1", 5_000);
    await store.files.insert(aFile("file-2", { expiresAt: 5_000 }));
    await store.files.markReclaimed("file-2");
    expect(await store.files.get(PROJECT, "file-1", 10)).toBeUndefined();
    expect(await store.files.get(PROJECT, "file-2", 10)).toBeUndefined();
  });

  it("lets one of two racing deletes succeed", async () => {
    const { store, peer } = await open();
    await store.files.insert(aFile("file-1"));
    const answers = await Promise.all(
      [store, peer].map((node) => node.files.delete(PROJECT, "file-1", 1)),
    );
    expect(answers.filter((deleted) => deleted)).toHaveLength(1);
  });

  it("finds a deleted or expired file as long as its bytes are kept", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    await store.files.delete(PROJECT, "file-1", 1);
    await store.files.insert(aFile("file-2", { expiresAt: 1 }));
    expect(await store.files.getRetained("file-1")).toEqual(aFile("file-1"));
    expect(await store.files.getRetained("file-2")).toEqual(aFile("file-2", { expiresAt: 1 }));
    expect(await store.files.getRetained("file-3")).toBeUndefined();
    await store.files.markReclaimed("file-1");
    expect(await store.files.getRetained("file-1")).toBeUndefined();
  });

  it("lists files whose bytes nobody needs, until they are reclaimed", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-kept"));
    await store.files.insert(aFile("file-later", { expiresAt: 5_001 }));
    await store.files.insert(aFile("file-expired", { expiresAt: 5_000 }));
    await store.files.insert(aFile("file-deleted"));
    await store.files.delete(PROJECT, "file-deleted", 4_000);
    const reclaimable = async () =>
      (await store.files.listReclaimable(5_000, 10)).map((file) => file.id).toSorted();
    expect(await reclaimable()).toEqual(["file-deleted", "file-expired"]);
    expect(await store.files.listReclaimable(5_000, 1)).toHaveLength(1);
    await store.files.markReclaimed("file-deleted");
    await store.files.markReclaimed("file-deleted");
    await store.files.markReclaimed("file-unknown");
    expect(await reclaimable()).toEqual(["file-expired"]);
  });

  it.each(Object.keys(batchStates))("judges the input of a batch that is %s", async (state) => {
    const { store } = await open();
    await store.files.insert(aFile("file-of-b", { expiresAt: 1 }));
    await batchStates[state]!(store, "b");
    const ended = ["failed", "completed", "expired", "cancelled"].includes(state);
    const reclaimable = await store.files.listReclaimable(5_000, 10);
    expect(reclaimable.map((file) => file.id)).toEqual(ended ? ["file-of-b"] : []);
  });

  it("keeps an input for the last of several batches", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-of-b", { expiresAt: 1 }));
    await batchStates["completed"]!(store, "b");
    await store.batches.insert(aBatch("other", { inputFileId: "file-of-b" }));
    expect(await store.files.listReclaimable(5_000, 10)).toEqual([]);
  });

  it("tells which records exist, in any state", async () => {
    const { store } = await open();
    await store.files.insert(aFile("file-1"));
    await store.files.insert(aFile("file-2"));
    await store.files.delete(PROJECT, "file-2", 1);
    await store.files.markReclaimed("file-2");
    const asked = Array.from({ length: 5_000 }, (_, index) => `file-${index}`);
    expect(await store.files.existing(asked)).toEqual(new Set(["file-1", "file-2"]));
    expect(await store.files.existing([])).toEqual(new Set());
  });
}
