// The part of the Store that knows uploads in parts. Promises as in store.ts.

import type { StoredFile } from "./file.ts";
import type { IdempotentRequest } from "./idempotency-store.ts";
import type { Upload, UploadPart } from "./upload.ts";

export interface UploadStore {
  /**
   * Status `pending`. Throws ConflictError when the id exists, or when `idempotent` is given and its key is not
   * running (any more); LimitExceededError ("stored-bytes") when the announced bytes would be more than `maxStoredBytes`
   * together with what the project stores. They are not reserved.
   */
  insert(
    upload: Upload,
    options?: { maxStoredBytes?: number | null; idempotent?: IdempotentRequest | undefined },
  ): Promise<void>;
  /** Undefined when missing or of another project. */
  get(projectId: string, id: string): Promise<Upload | undefined>;
  /**
   * Adds a part to a pending upload. Throws NotFoundError when the upload is missing or of another
   * project, ConflictError when it is completed, cancelled or expired at `part.createdAt`, and
   * LimitExceededError ("part-bytes") when all its parts would be more than `maxPartBytes` together,
   * or ("stored-bytes") when the project would store more than `maxStoredBytes` (null: no limit).
   */
  addPart(
    projectId: string,
    part: UploadPart,
    limits: { maxPartBytes: number; maxStoredBytes: number | null },
    idempotent?: IdempotentRequest,
  ): Promise<void>;
  /** Those of these parts that the upload has, in the order asked for. */
  parts(uploadId: string, partIds: readonly string[]): Promise<UploadPart[]>;
  /**
   * pending → completed, and the file's record inserted, in one step. Throws ConflictError when it is
   * not pending any more or expired at `file.createdAt`, LimitExceededError as `FileStore.insert` does: the
   * parts then no longer count as stored, the file does.
   */
  complete(
    id: string,
    result: { file: StoredFile; partIds: readonly string[]; maxStoredBytes: number | null },
  ): Promise<void>;
  /** pending → cancelled. In any other state nothing changes. Answers the upload as it is afterwards; undefined when there is none. */
  cancel(projectId: string, id: string, at: number): Promise<Upload | undefined>;
  /** Uploads that are completed, cancelled or expired at `now` and whose parts are still kept. */
  listUnswept(now: number, limit: number): Promise<string[]>;
  /** Notes that the parts are gone. Repeating it is harmless. */
  markSwept(id: string): Promise<void>;
}
