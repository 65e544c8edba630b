// The bytes of a new file on their way into the BlobStore, and the record they become.
import { ApiError } from "../core/api-error.ts";
import { type BlobStore, blobKeys } from "../core/blob-store.ts";
import type { StoredFile, UploadPurpose } from "../core/file.ts";
import { newFileId } from "../core/ids.ts";
import { DEFAULT_BATCH_FILE_LIFETIME_SECONDS } from "../core/limits.ts";
import { FirstLine } from "./first-line.ts";
import { type StagedBlob, type StagingLimits, stageBlob } from "./staged-blob.ts";

export interface StagedFile extends StagedBlob {
  readonly id: string;
  /** Whether the first line that is not blank is JSON. */
  readonly startsWithJson: boolean;
}

export interface NewFile {
  filename: string;
  purpose: UploadPurpose;
  /** Counted from the file's creation. Undefined: 30 days for batch inputs, else never. */
  expiresAfterSeconds: number | undefined;
}

/** Stages `content` as `stageBlob` does; more than `maxSizeBytes` is an ApiError 400. */
export async function stageFile(
  blobs: BlobStore,
  content: AsyncIterable<Uint8Array>,
  limits: Omit<StagingLimits, "tooLarge">,
): Promise<StagedFile> {
  const id = newFileId();
  const firstLine = new FirstLine();
  const blob = await stageBlob(blobs, blobKeys.file(id), seenBy(firstLine, content), {
    ...limits,
    tooLarge,
  });
  return { ...blob, id, startsWithJson: firstLine.isJson() };
}

/** The record of a file made of the staged bytes. */
export function fileRecord(
  projectId: string,
  staged: StagedFile,
  { filename, purpose, expiresAfterSeconds }: NewFile,
  createdAt: number,
): StoredFile {
  const lifetimeSeconds =
    expiresAfterSeconds ?? (purpose === "batch" ? DEFAULT_BATCH_FILE_LIFETIME_SECONDS : undefined);
  return {
    id: staged.id,
    projectId,
    purpose,
    filename,
    sizeBytes: staged.sizeBytes,
    sha256: staged.sha256,
    blobKey: staged.blobKey,
    createdAt,
    expiresAt: lifetimeSeconds === undefined ? null : createdAt + lifetimeSeconds * 1_000,
  };
}

export function tooLarge(): ApiError {
  return new ApiError(400, "File is too large.");
}

async function* seenBy(firstLine: FirstLine, content: AsyncIterable<Uint8Array>) {
  for await (const chunk of content) {
    firstLine.take(chunk);
    yield chunk;
  }
}
