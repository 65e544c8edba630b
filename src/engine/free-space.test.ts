import { expect, test } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import type { BlobStore } from "../core/blob-store.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { FreeSpace } from "./free-space.ts";

/** The real store, on a disk with as much room as told. */
function withRoom(blobs: BlobStore, freeBytes: () => number | undefined): BlobStore {
  return new Proxy(blobs, {
    get: (target, name) =>
      name === "freeBytes"
        ? () => Promise.resolve(freeBytes())
        : (Reflect.get(target, name) as () => unknown).bind(target),
  });
}

test("says why nothing may be sent while there is too little room, as of the last look", async () => {
  using place = openWorkplace();
  const blobs = await openDiskBlobStore({ directory: place.path("data") });
  let free: number | undefined = 99_900_000;
  const space = new FreeSpace(
    withRoom(blobs, () => free),
    100_000_000,
  );
  expect(space.reason).toBeNull();
  await space.check();
  expect(space.reason).toBe("waiting for disk space: 99 MB free, 100 MB are kept clear");
  free = 100_000_000;
  expect(space.reason).not.toBeNull();
  await space.check();
  expect(space.reason).toBeNull();
  free = undefined;
  await space.check();
  expect(space.reason).toBeNull();
  await blobs.close();
});

test("knows the room on a real disk", async () => {
  using place = openWorkplace();
  const blobs = await openDiskBlobStore({ directory: place.path("data") });
  const [none, all] = [new FreeSpace(blobs, 0), new FreeSpace(blobs, Number.MAX_SAFE_INTEGER)];
  await none.check();
  await all.check();
  expect(none.reason).toBeNull();
  expect(all.reason).toMatch(/^waiting for disk space: \d+ MB free, 9007199254 MB are kept clear$/);
  await blobs.close();
});
