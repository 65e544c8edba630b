// Copies blobs, several at a time and in pieces: what was written is read back, and must be what was read from the
// source; that must be what its record says. Journals become plain blobs, for nobody appends to them any more.

import { type Hash, createHash } from "node:crypto";
import { type BlobStore, blobKeys } from "../core/blob-store.ts";
import type { RowStore } from "../core/row-store.ts";
import { NotFoundError } from "../core/store.ts";
import { forEachAtOnce } from "./at-once.ts";
import type { ProgressTracker } from "./progress-tracker.ts";

interface BlobToCopy {
  key: string;
  name: string;
  /** As recorded; null: by nobody. */
  sizeBytes: number | null;
  sha256: string | null;
  isNeeded: boolean;
}

interface Content {
  sizeBytes: number;
  sha256: string;
}

export interface BlobCopyOptions {
  rows: RowStore;
  source: BlobStore;
  target: BlobStore;
  /** Decides what has expired. */
  now: number;
  /** Some blobs may be there already. */
  goesOn: boolean;
  progress: ProgressTracker;
}

const BLOBS_AT_ONCE = 8;

/**
 * Copies the bytes of files and of parts that have a record, and everything of batches. Blobs of files without a
 * record are no one's, and stay behind. Answers what cannot be copied as it should be, a sentence each.
 */
export async function copyBlobs(options: BlobCopyOptions): Promise<string[]> {
  const { progress } = options;
  for await (const { sizeBytes } of blobsToCopy(options)) progress.expect(1, sizeBytes ?? 0);
  const problems: string[] = [];
  await forEachAtOnce(BLOBS_AT_ONCE, blobsToCopy(options), async (blob) => {
    const problem = await copyBlob(options, blob);
    if (problem !== undefined) problems.push(problem);
  });
  return problems;
}

async function* blobsToCopy({ rows, source, now }: BlobCopyOptions): AsyncGenerator<BlobToCopy> {
  yield* rows.blobs(now);
  for await (const { key } of source.list(blobKeys.batches)) {
    yield { key, name: "a blob of a batch", sizeBytes: null, sha256: null, isNeeded: true };
  }
}

async function copyBlob(options: BlobCopyOptions, blob: BlobToCopy): Promise<string | undefined> {
  const { source, target, goesOn, progress } = options;
  const is = `${blob.name}, ${blob.key}:`;
  const onBytes = (bytes: number) => {
    if (blob.sizeBytes === null) progress.expect(0, bytes);
    progress.addBytes(bytes);
  };
  try {
    const isThere = goesOn && (await haveOneSize(source, target, blob.key));
    const found = isThere
      ? await contentOf(source, blob.key, onBytes)
      : await write(source, target, blob.key, onBytes);
    const problem = againstRecord(blob, found);
    if (problem !== undefined) return `${is} ${problem}`;
    let isGood = await readsBack(target, blob.key, found);
    if (isThere && !isGood) {
      // What an earlier attempt left may be anything.
      await write(source, target, blob.key, () => undefined);
      isGood = await readsBack(target, blob.key, found);
    }
    if (!isGood) return `${is} what is read back from the target is not what was written.`;
    progress.addBlob();
    return undefined;
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    if (blob.isNeeded) return `${is} it is missing from the source.`;
    progress.expect(-1, -(blob.sizeBytes ?? 0));
    return undefined;
  }
}

/** Whether both have it, in one size. Throws NotFoundError when the source does not. */
async function haveOneSize(source: BlobStore, target: BlobStore, key: string): Promise<boolean> {
  const sizeBytes = await sizeOf(source, key);
  try {
    return (await sizeOf(target, key)) === sizeBytes;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

async function sizeOf(blobs: BlobStore, key: string): Promise<number> {
  const reader = await blobs.open(key);
  await reader.close();
  return reader.sizeBytes;
}

async function write(
  source: BlobStore,
  target: BlobStore,
  key: string,
  onBytes: (bytes: number) => void,
): Promise<Content> {
  const hash = createHash("sha256");
  const writer = await target.create(key);
  try {
    for await (const chunk of source.read(key)) {
      hash.update(chunk);
      await writer.write(chunk);
      onBytes(chunk.length);
    }
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return contentFrom(writer.sizeBytes, hash);
}

async function contentOf(
  blobs: BlobStore,
  key: string,
  onBytes?: (bytes: number) => void,
): Promise<Content> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of blobs.read(key)) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    onBytes?.(chunk.length);
  }
  return contentFrom(sizeBytes, hash);
}

async function readsBack(target: BlobStore, key: string, written: Content): Promise<boolean> {
  try {
    const { sizeBytes, sha256 } = await contentOf(target, key);
    return sizeBytes === written.sizeBytes && sha256 === written.sha256;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

function contentFrom(sizeBytes: number, hash: Hash): Content {
  return { sizeBytes, sha256: hash.digest("hex") };
}

function againstRecord(blob: BlobToCopy, found: Content): string | undefined {
  if (blob.sizeBytes !== null && blob.sizeBytes !== found.sizeBytes) {
    return `it has ${found.sizeBytes} bytes in the source, but its record says ${blob.sizeBytes}.`;
  }
  if (blob.sha256 !== null && blob.sha256 !== found.sha256) {
    return "its bytes in the source are not those that were stored: their SHA-256 is another one.";
  }
  return undefined;
}
