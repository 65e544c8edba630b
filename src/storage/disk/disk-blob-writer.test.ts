import { existsSync, mkdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openWorkplace, type Workplace } from "../../../test/support/workplace.ts";
import { DiskBlobWriter } from "./disk-blob-writer.ts";
import { DurableFolders } from "./durable-folders.ts";

const MB = 1024 * 1024;
let place: Workplace;
let handle: FileHandle;
let writer: DiskBlobWriter;

beforeEach(async () => {
  place = openWorkplace();
  mkdirSync(place.path("blobs"));
  handle = await open(place.path("unfinished"), "wx");
  const folders = new DurableFolders(place.path("blobs"));
  writer = new DiskBlobWriter(handle, place.path("unfinished"), place.path("blobs/blob"), folders);
});

afterEach(async () => {
  await writer.abort();
  place[Symbol.dispose]();
});

test("a large blob is given to the disk while it is written, and whole before it is visible", async () => {
  const synced = vi.spyOn(handle, "datasync");
  for (let written = 0; written < 40; written++) await writer.write(new Uint8Array(MB));
  expect(synced).toHaveBeenCalled();
  const before = synced.mock.calls.length;
  await writer.commit();
  expect(synced.mock.calls.length).toBe(before + 1);
  expect(existsSync(place.path("blobs/blob"))).toBe(true);
});

test.each([
  ["at a later write", () => writer.write(new Uint8Array(MB))],
  ["at the latest when it is committed", () => writer.commit()],
])(
  "a disk that fails in between fails the blob, %s, though it works again by then",
  async (_when, step) => {
    const failed = Promise.withResolvers<void>();
    vi.spyOn(handle, "datasync").mockImplementationOnce(() => {
      failed.resolve();
      return Promise.reject(new Error("i/o error"));
    });
    for (let written = 0; written < 16; written++) await writer.write(new Uint8Array(MB));
    await failed.promise;
    await expect(step()).rejects.toThrow("i/o error");
    await expect(writer.commit()).rejects.toThrow("committed or aborted before");
    expect([existsSync(place.path("unfinished")), existsSync(place.path("blobs/blob"))]).toEqual([
      false,
      false,
    ]);
  },
);
