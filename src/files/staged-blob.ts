// A client's bytes on their way into the BlobStore: written as they arrive, in constant memory, and
// invisible until they are committed.
import { createHash } from "node:crypto";
import type { ApiError } from "../core/api-error.ts";
import type { BlobStore } from "../core/blob-store.ts";
import { StorageFullError } from "../core/store.ts";

export interface StagedBlob {
  readonly blobKey: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
  /** The bytes are durable when this resolves. */
  commit(): Promise<void>;
  /** Leaves no trace. Harmless after commit or when repeated. */
  discard(): Promise<void>;
}

export interface StagingLimits {
  maxSizeBytes: number;
  /** What a client is told that sends more. */
  tooLarge: () => ApiError;
  /** Nothing is taken while less space than this is free. */
  freeSpaceFloorBytes: number;
}

/** How often it is asked again whether there is space: others write at the same time. */
const SPACE_CHECK_BYTES = 8 * 1024 * 1024;

/**
 * Writes `content` to a new blob. When the content ends with an error, is too large, or cannot be
 * written (StorageFullError), nothing is left and the error goes on.
 */
export async function stageBlob(
  blobs: BlobStore,
  blobKey: string,
  content: AsyncIterable<Uint8Array>,
  { maxSizeBytes, tooLarge, freeSpaceFloorBytes }: StagingLimits,
): Promise<StagedBlob> {
  const requireSpace = async () => {
    const freeBytes = await blobs.freeBytes();
    if (freeBytes === undefined || freeBytes >= freeSpaceFloorBytes) return;
    throw new StorageFullError("Less disk space is free than is to be kept clear.");
  };
  await requireSpace();
  let checkAtBytes = SPACE_CHECK_BYTES;
  const writer = await blobs.create(blobKey);
  const hash = createHash("sha256");
  let writing: Promise<unknown> = Promise.resolve();
  try {
    for await (const chunk of content) {
      hash.update(chunk);
      await writing;
      if (writer.sizeBytes + chunk.length > maxSizeBytes) throw tooLarge();
      // The next chunk arrives and is hashed meanwhile.
      writing = writer.write(chunk);
      // Its failure is told when its turn comes.
      writing.catch(() => undefined);
      if (writer.sizeBytes < checkAtBytes) continue;
      checkAtBytes = writer.sizeBytes + SPACE_CHECK_BYTES;
      await requireSpace();
    }
    await writing;
  } catch (error) {
    await writing.catch(() => undefined);
    await writer.abort();
    throw error;
  }
  return {
    blobKey,
    sizeBytes: writer.sizeBytes,
    sha256: hash.digest("hex"),
    commit: () => writer.commit(),
    discard: () => writer.abort(),
  };
}
