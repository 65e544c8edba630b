import { createHash } from "node:crypto";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect, onTestFinished, test } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { BlobStream } from "./blob-stream.ts";

/** No two pieces of it are alike. */
const content = Buffer.from(
  Array.from({ length: 3_000_000 }, (_, at) => Math.imul(at, 0x9e3779b1) >>> 20),
);
const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function readerOf(bytes: Uint8Array) {
  const place = openWorkplace();
  onTestFinished(() => place[Symbol.dispose]());
  const blobs = await openDiskBlobStore({ directory: place.path("data") });
  onTestFinished(() => blobs.close());
  const writer = await blobs.create("files/sample");
  await writer.write(bytes);
  await writer.commit();
  return blobs.open("files/sample");
}

test.each([
  { start: 0, end: content.length },
  { start: 1_000, end: 2_700_001 },
  { start: 5, end: 6 },
])("bytes $start to $end arrive unchanged where the pipe is slow", async ({ start, end }) => {
  const hash = createHash("sha256");
  // It looks at a piece late, as a socket does.
  const slow = new Writable({
    highWaterMark: 16 * 1024,
    write: (piece: Uint8Array, _encoding, done) => {
      setTimeout(() => {
        hash.update(piece);
        setImmediate(done);
      }, 2);
    },
  });
  await pipeline(new BlobStream(await readerOf(content), { start, end }), slow);
  expect(hash.digest("hex")).toBe(hashOf(content.subarray(start, end)));
});
