// Files as clients use them: uploads that appear only when whole and durable, lists, downloads, and
// deletions that hide at once. Refusals are ApiErrors in OpenAI's words.
import type { Readable } from "node:stream";
import { ApiError } from "../core/api-error.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import {
  type FilePurpose,
  type StoredFile,
  type UploadPurpose,
  downloadablePurposes,
} from "../core/file.ts";
import type { IdempotentRequest } from "../core/idempotency-store.ts";
import type { Limits } from "../core/limits.ts";
import type { ProjectLimits } from "../core/project.ts";
import type { Signals } from "../core/signals.ts";
import { type FileStore, NotFoundError, type Page } from "../core/store.ts";
import { checkBatchUpload } from "./batch-gate.ts";
import { BlobStream, type ByteSpan } from "./blob-stream.ts";
import { type NewFile, type StagedFile, fileRecord, stageFile, tooLarge } from "./staged-file.ts";

export interface FileServiceParts {
  files: FileStore;
  blobs: BlobStore;
  signals: Signals;
  clock: Clock;
  limits: Pick<Limits, "batchFileSizeBytes" | "fileSizeBytes">;
  limitsOf: (projectId: string) => Pick<ProjectLimits, "storedBytes">;
  /** Uploads are refused while less space than this is free. */
  freeSpaceFloorBytes: number;
}

export interface FileQuery {
  purpose?: FilePurpose;
  /** Exclusive. */
  after?: string;
  limit: number;
  order: "asc" | "desc";
}

export class FileService {
  readonly #parts: FileServiceParts;

  constructor(parts: FileServiceParts) {
    this.#parts = parts;
  }

  /**
   * Writes an upload's bytes as they arrive; `create` makes a file of them, `discard` drops them.
   * @param purpose undefined while the client has not said: the largest limit holds until it has
   */
  async stage(
    content: AsyncIterable<Uint8Array>,
    purpose: UploadPurpose | undefined,
  ): Promise<StagedFile> {
    const { blobs, freeSpaceFloorBytes } = this.#parts;
    const maxSizeBytes = this.#maxSizeBytes(purpose);
    return stageFile(blobs, content, { maxSizeBytes, freeSpaceFloorBytes });
  }

  /** Makes the staged bytes a file: durable and visible when this resolves. */
  async create(
    projectId: string,
    staged: StagedFile,
    about: NewFile,
    idempotent?: IdempotentRequest,
  ): Promise<StoredFile> {
    const { files, blobs, clock, limitsOf } = this.#parts;
    if (staged.sizeBytes > this.#maxSizeBytes(about.purpose)) throw tooLarge();
    if (about.purpose === "batch") checkBatchUpload(about.filename, staged);
    await staged.commit();
    const file = fileRecord(projectId, staged, about, clock.now());
    try {
      const { storedBytes } = limitsOf(projectId);
      await files.insert(file, { maxStoredBytes: storedBytes, idempotent });
    } catch (error) {
      // The Store may have failed after it did its work.
      const exists = (await files.existing([file.id])).has(file.id);
      if (!exists) await blobs.delete(staged.blobKey);
      throw error;
    }
    return file;
  }

  async get(projectId: string, id: string): Promise<StoredFile> {
    const file = await this.#parts.files.get(projectId, id, this.#parts.clock.now());
    return file ?? noSuchFile(id, "id");
  }

  async list(projectId: string, query: FileQuery): Promise<Page<StoredFile>> {
    try {
      return await this.#parts.files.list(projectId, { ...query, now: this.#parts.clock.now() });
    } catch (error) {
      if (error instanceof NotFoundError) noSuchFile(query.after ?? "", "after");
      throw error;
    }
  }

  /** Hides the file at once; its bytes go when no batch needs them. */
  async delete(projectId: string, id: string): Promise<void> {
    const { files, signals, clock } = this.#parts;
    const deleted = await files.delete(projectId, id, clock.now());
    if (!deleted) noSuchFile(id, "id");
    signals.emit("bytes-unneeded");
  }

  /** The file, if its content may be downloaded. */
  async getDownloadable(projectId: string, id: string): Promise<StoredFile> {
    const file = await this.get(projectId, id);
    if (downloadablePurposes.includes(file.purpose)) return file;
    throw new ApiError(400, `Not allowed to download files of purpose: ${file.purpose}`);
  }

  /** The content of a downloadable file, or the span of it. */
  async read(file: StoredFile, span: ByteSpan): Promise<Readable> {
    const reader = await this.#open(file);
    if (reader.sizeBytes === file.sizeBytes) return new BlobStream(reader, span);
    await reader.close();
    throw new Error(
      `${file.blobKey} has ${reader.sizeBytes} bytes instead of ${file.sizeBytes}: the store is damaged`,
    );
  }

  async #open(file: StoredFile) {
    try {
      return await this.#parts.blobs.open(file.blobKey);
    } catch (error) {
      // Deleted since the record was read.
      if (error instanceof NotFoundError) noSuchFile(file.id, "id");
      throw error;
    }
  }

  #maxSizeBytes(purpose: UploadPurpose | undefined): number {
    const { batchFileSizeBytes, fileSizeBytes } = this.#parts.limits;
    if (purpose === undefined) return Math.max(batchFileSizeBytes, fileSizeBytes);
    return purpose === "batch" ? batchFileSizeBytes : fileSizeBytes;
  }
}

function noSuchFile(id: string, param: "id" | "after"): never {
  throw new ApiError(404, `No such File object: ${id}`, { param });
}
