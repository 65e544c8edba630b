// Uploads in parts: what a client announces, the parts as they come, and the file that is made of
// them, which is a file like any other. Refusals are ApiErrors.
import { ApiError } from "../core/api-error.ts";
import { type BlobStore, blobKeys } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { StoredFile } from "../core/file.ts";
import type { IdempotentRequest } from "../core/idempotency-store.ts";
import { newPartId, newUploadId } from "../core/ids.ts";
import { type Limits, UPLOAD_LIFETIME_MS } from "../core/limits.ts";
import type { ProjectLimits } from "../core/project.ts";
import type { Signals } from "../core/signals.ts";
import { ConflictError, type FileStore, NotFoundError } from "../core/store.ts";
import type { UploadStore } from "../core/upload-store.ts";
import { type Upload, type UploadPart, type UploadStatus, uploadStatus } from "../core/upload.ts";
import { checkBatchUpload } from "../files/batch-gate.ts";
import { type StagedBlob, stageBlob } from "../files/staged-blob.ts";
import {
  type NewFile,
  type StagedFile,
  fileRecord,
  stageFile,
  tooLarge,
} from "../files/staged-file.ts";
import { PartSequence, pickParts } from "./part-sequence.ts";

export interface UploadServiceParts {
  uploads: UploadStore;
  files: FileStore;
  blobs: BlobStore;
  signals: Signals;
  clock: Clock;
  limits: Pick<Limits, "batchFileSizeBytes" | "uploadSizeBytes" | "partSizeBytes">;
  limitsOf: (projectId: string) => Pick<ProjectLimits, "storedBytes">;
  /** Nothing is taken while less space than this is free. */
  freeSpaceFloorBytes: number;
}

export interface UploadRequest extends NewFile {
  mimeType: string;
  sizeBytes: number;
}

export interface Completion {
  /** In the order in which they make up the file. */
  partIds: readonly string[];
  /** Hex, of the whole content. */
  md5: string | undefined;
}

/** An upload as its client sees it now. */
export interface UploadView {
  upload: Upload;
  status: UploadStatus;
  /** What it became; null before, and when that has been deleted. */
  file: StoredFile | null;
}

/** A part whose bytes have arrived. */
export interface StagedPart extends StagedBlob {
  id: string;
  upload: Upload;
}

export class UploadService {
  readonly #parts: UploadServiceParts;
  /** Uploads that are being put together. */
  readonly #completing = new Map<string, Promise<unknown>>();

  constructor(parts: UploadServiceParts) {
    this.#parts = parts;
  }

  async create(
    projectId: string,
    request: UploadRequest,
    idempotent?: IdempotentRequest,
  ): Promise<UploadView> {
    const { uploads, clock, limits, limitsOf } = this.#parts;
    const { filename, purpose, expiresAfterSeconds = null } = request;
    // What the content says is seen when it is complete; the name is known now.
    if (purpose === "batch") checkBatchUpload(filename, { startsWithJson: true });
    const maxBytes = purpose === "batch" ? limits.batchFileSizeBytes : limits.uploadSizeBytes;
    if (request.sizeBytes > maxBytes) throw tooLarge();
    const createdAt = clock.now();
    const upload: Upload = {
      id: newUploadId(),
      projectId,
      filename,
      purpose,
      mimeType: request.mimeType,
      sizeBytes: request.sizeBytes,
      fileExpiresAfterSeconds: expiresAfterSeconds,
      status: "pending",
      createdAt,
      expiresAt: createdAt + UPLOAD_LIFETIME_MS,
      fileId: null,
      partIds: null,
    };
    const maxStoredBytes = limitsOf(projectId).storedBytes;
    await uploads.insert(upload, { maxStoredBytes, idempotent });
    return this.#view(upload);
  }

  async get(projectId: string, id: string): Promise<UploadView> {
    const upload = await this.#parts.uploads.get(projectId, id);
    return upload === undefined ? noSuchUpload(id) : this.#view(upload);
  }

  /** Writes a part's bytes as they arrive; `addPart` makes a part of them, `discard` drops them. */
  async stagePart(
    projectId: string,
    uploadId: string,
    content: AsyncIterable<Uint8Array>,
  ): Promise<StagedPart> {
    const { blobs, limits, freeSpaceFloorBytes } = this.#parts;
    const { upload, status } = await this.get(projectId, uploadId);
    if (status !== "pending") throw notPending("add a part to", status);
    const id = newPartId();
    const blob = await stageBlob(blobs, blobKeys.part(uploadId, id), content, {
      maxSizeBytes: limits.partSizeBytes,
      tooLarge: () => partTooLarge(limits.partSizeBytes),
      freeSpaceFloorBytes,
    });
    return { ...blob, id, upload };
  }

  /** Makes the staged bytes a part of their upload: durable when this resolves. */
  async addPart(
    projectId: string,
    { id, upload, ...staged }: StagedPart,
    idempotent?: IdempotentRequest,
  ): Promise<UploadPart> {
    const { uploads, blobs, clock, limits, limitsOf } = this.#parts;
    if (staged.sizeBytes === 0) throw emptyPart();
    await staged.commit();
    const { sizeBytes, sha256, blobKey } = staged;
    const part = { id, uploadId: upload.id, sizeBytes, sha256, blobKey, createdAt: clock.now() };
    try {
      await uploads.addPart(
        projectId,
        part,
        {
          // Room for parts that are sent again, and for no more than that.
          maxPartBytes: 2 * upload.sizeBytes + limits.partSizeBytes,
          maxStoredBytes: limitsOf(projectId).storedBytes,
        },
        idempotent,
      );
    } catch (error) {
      // The Store may have failed after it did its work.
      const [made] = await uploads.parts(upload.id, [id]);
      if (made === undefined) await blobs.delete(blobKey);
      await this.#refuseUnlessPending(projectId, upload.id, "add a part to", error);
      throw error;
    }
    return part;
  }

  async getPart(projectId: string, uploadId: string, partId: string): Promise<UploadPart> {
    await this.get(projectId, uploadId);
    const [part] = await this.#parts.uploads.parts(uploadId, [partId]);
    if (part !== undefined) return part;
    throw new ApiError(404, `No such Part object: ${partId}`, { param: "part_id" });
  }

  /**
   * Makes a file of the parts. Parts that are not named are dropped. Asked again with the same parts
   * it answers as the first time: a client whose answer was lost repeats its question.
   */
  async complete(projectId: string, id: string, completion: Completion): Promise<UploadView> {
    // A client that has lost patience asks again: a second copy at the same time would only take space.
    for (let other; (other = this.#completing.get(id));) await other.catch(() => undefined);
    const completing = this.#complete(projectId, id, completion);
    this.#completing.set(id, completing);
    return completing.finally(() => this.#completing.delete(id));
  }

  async #complete(projectId: string, id: string, completion: Completion): Promise<UploadView> {
    const { uploads, blobs, signals, clock, limitsOf } = this.#parts;
    const view = await this.get(projectId, id);
    if (view.status !== "pending") return repeated(view, completion.partIds);
    let staged: StagedFile | undefined;
    try {
      staged = await this.#assemble(view.upload, completion);
      await staged.commit();
      const file = fileRecord(projectId, staged, fileOf(view.upload), clock.now());
      await uploads.complete(id, {
        file,
        partIds: completion.partIds,
        maxStoredBytes: limitsOf(projectId).storedBytes,
      });
    } catch (error) {
      const now = await this.get(projectId, id);
      // Only what is certain not to be a file may go: the Store may have failed after it did its work.
      if (staged !== undefined && now.upload.fileId !== staged.id) await discard(blobs, staged);
      if (now.status === "pending") throw error;
      // Completed, cancelled or expired meanwhile; its parts may be gone then.
      return repeated(now, completion.partIds);
    }
    signals.emit("bytes-unneeded");
    return this.get(projectId, id);
  }

  /** Ends a pending upload. One that is cancelled already stays as it is. */
  async cancel(projectId: string, id: string): Promise<UploadView> {
    const { uploads, signals, clock } = this.#parts;
    const now = clock.now();
    const upload = (await uploads.cancel(projectId, id, now)) ?? noSuchUpload(id);
    const status = uploadStatus(upload, now);
    if (status !== "cancelled") throw notPending("cancel", status);
    signals.emit("bytes-unneeded");
    return this.#view(upload);
  }

  /** Streams the parts into the blob of a file, and checks what they make. */
  async #assemble(upload: Upload, { partIds, md5 }: Completion): Promise<StagedFile> {
    const { uploads, blobs, freeSpaceFloorBytes } = this.#parts;
    const parts = pickParts(upload, partIds, await uploads.parts(upload.id, partIds));
    const content = new PartSequence(blobs, parts, md5);
    const staged = await stageFile(blobs, content, {
      maxSizeBytes: upload.sizeBytes,
      freeSpaceFloorBytes,
    });
    try {
      if (staged.sizeBytes < upload.sizeBytes) throw damaged(upload, staged);
      content.check();
      if (upload.purpose === "batch") checkBatchUpload(upload.filename, staged);
    } catch (error) {
      await staged.discard();
      throw error;
    }
    return staged;
  }

  /** Throws what the client has to hear instead of `error` when the Store found the upload gone or over. */
  async #refuseUnlessPending(
    projectId: string,
    id: string,
    action: string,
    error: unknown,
  ): Promise<void> {
    if (!(error instanceof ConflictError || error instanceof NotFoundError)) return;
    const { status } = await this.get(projectId, id);
    if (status !== "pending") throw notPending(action, status);
  }

  async #view(upload: Upload): Promise<UploadView> {
    const { files, clock } = this.#parts;
    const now = clock.now();
    const { projectId, fileId } = upload;
    const file = fileId === null ? undefined : await files.get(projectId, fileId, now);
    return { upload, status: uploadStatus(upload, now), file: file ?? null };
  }
}

function fileOf({ filename, purpose, fileExpiresAfterSeconds }: Upload): NewFile {
  return { filename, purpose, expiresAfterSeconds: fileExpiresAfterSeconds ?? undefined };
}

function damaged({ id, sizeBytes }: Upload, staged: StagedFile): Error {
  return new Error(
    `The parts of ${id} have ${staged.sizeBytes} bytes instead of ${sizeBytes}: the store is damaged`,
  );
}

async function discard(blobs: BlobStore, staged: StagedFile): Promise<void> {
  await staged.discard();
  await blobs.delete(staged.blobKey);
}

/** What a second completion gets: the first one's answer, if it asked for the same. */
function repeated(view: UploadView, partIds: readonly string[]): UploadView {
  const { upload, status } = view;
  if (status !== "completed") throw notPending("complete", status);
  const same = JSON.stringify(upload.partIds) === JSON.stringify(partIds);
  if (same) return view;
  throw new ApiError(400, "The upload was completed with other part_ids already.", {
    param: "part_ids",
  });
}

function notPending(action: string, status: UploadStatus): ApiError {
  return new ApiError(
    400,
    `Cannot ${action} an upload with status '${status}'. It must be 'pending': create a new upload.`,
  );
}

function partTooLarge(maxBytes: number): ApiError {
  return new ApiError(400, `The part is too large. A part may have at most ${maxBytes} bytes.`, {
    param: "data",
  });
}

function emptyPart(): ApiError {
  return new ApiError(400, "The part is empty. A part must have at least one byte.", {
    param: "data",
  });
}

function noSuchUpload(id: string): never {
  throw new ApiError(404, `No such Upload object: ${id}`, { param: "upload_id" });
}
