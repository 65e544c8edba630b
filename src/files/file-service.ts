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
import { DEFAULT_BATCH_FILE_LIFETIME_SECONDS, type Limits } from "../core/limits.ts";
import type { Signals } from "../core/signals.ts";
import { type FileStore, NotFoundError, type Page, StorageFullError } from "../core/store.ts";
import { checkBatchUpload } from "./batch-gate.ts";
import { BlobStream } from "./blob-stream.ts";
import { type StagedFile, stageFile, tooLarge } from "./staged-file.ts";

export interface FileServiceParts {
  files: FileStore;
  blobs: BlobStore;
  signals: Signals;
  clock: Clock;
  limits: Pick<Limits, "batchFileSizeBytes" | "fileSizeBytes">;
  /** Uploads are refused while less space than this is free. */
  freeSpaceFloorBytes: number;
}

export interface NewFile {
  filename: string;
  purpose: UploadPurpose;
  /** Counted from the file's creation. Undefined: 30 days for batch inputs, else never. */
  expiresAfterSeconds: number | undefined;
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
    const freeBytes = await blobs.freeBytes();
    if (freeBytes !== undefined && freeBytes < freeSpaceFloorBytes) {
      throw new StorageFullError("Less disk space is free than is to be kept clear.");
    }
    return stageFile(blobs, content, this.#maxSizeBytes(purpose));
  }

  /** Makes the staged bytes a file: durable and visible when this resolves. */
  async create(projectId: string, staged: StagedFile, about: NewFile): Promise<StoredFile> {
    const { files, blobs, clock } = this.#parts;
    const { filename, purpose } = about;
    if (staged.sizeBytes > this.#maxSizeBytes(purpose)) throw tooLarge();
    if (purpose === "batch") checkBatchUpload(filename, staged);
    await staged.commit();
    const createdAt = clock.now();
    const lifetimeSeconds =
      about.expiresAfterSeconds ??
      (purpose === "batch" ? DEFAULT_BATCH_FILE_LIFETIME_SECONDS : undefined);
    const file: StoredFile = {
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
    try {
      await files.insert(file);
    } catch (error) {
      await blobs.delete(staged.blobKey);
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
    signals.emit("file-deleted");
  }

  /** The file, if its content may be downloaded. */
  async getDownloadable(projectId: string, id: string): Promise<StoredFile> {
    const file = await this.get(projectId, id);
    if (downloadablePurposes.includes(file.purpose)) return file;
    throw new ApiError(400, `Not allowed to download files of purpose: ${file.purpose}`);
  }

  /** The content of a downloadable file, `file.sizeBytes` long. */
  async read(file: StoredFile): Promise<Readable> {
    const reader = await this.#open(file);
    if (reader.sizeBytes === file.sizeBytes) return new BlobStream(reader);
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
