// An upload on its way into the BlobStore: written as it arrives, in constant memory, and invisible
// until it is committed.
import { createHash } from "node:crypto";
import { ApiError } from "../core/api-error.ts";
import { type BlobStore, blobKeys } from "../core/blob-store.ts";
import { newFileId } from "../core/ids.ts";
import { FirstLine } from "./first-line.ts";

export interface StagedFile {
  readonly id: string;
  readonly blobKey: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
  /** Whether the first line that is not blank is JSON. */
  readonly startsWithJson: boolean;
  /** The bytes are durable when this resolves. */
  commit(): Promise<void>;
  /** Leaves no trace. Harmless after commit or when repeated. */
  discard(): Promise<void>;
}

/**
 * Writes `content` to a new blob. When the content ends with an error, is larger than
 * `maxSizeBytes` (ApiError 400), or cannot be written, nothing is left and the error goes on.
 */
export async function stageFile(
  blobs: BlobStore,
  content: AsyncIterable<Uint8Array>,
  maxSizeBytes: number,
): Promise<StagedFile> {
  const id = newFileId();
  const blobKey = blobKeys.file(id);
  const writer = await blobs.create(blobKey);
  const hash = createHash("sha256");
  const firstLine = new FirstLine();
  try {
    for await (const chunk of content) {
      if (writer.sizeBytes + chunk.length > maxSizeBytes) throw tooLarge();
      hash.update(chunk);
      firstLine.take(chunk);
      await writer.write(chunk);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return {
    id,
    blobKey,
    sizeBytes: writer.sizeBytes,
    sha256: hash.digest("hex"),
    startsWithJson: firstLine.isJson(),
    commit: () => writer.commit(),
    discard: () => writer.abort(),
  };
}

export function tooLarge(): ApiError {
  return new ApiError(400, "File is too large.");
}
