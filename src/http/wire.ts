// The one place that knows the JSON spelling of what the API answers: names, the order of members,
// seconds for times, null for what is not there.
import type { ApiError } from "../core/api-error.ts";
import type { Batch } from "../core/batch.ts";
import type { StoredFile } from "../core/file.ts";
import type { Page } from "../core/store.ts";
import type { UploadPart } from "../core/upload.ts";
import type { UploadView } from "../uploads/upload-service.ts";
import type { BatchObject } from "./schemas/batch-object.ts";
import type { ErrorObject } from "./schemas/error-object.ts";
import type { DeletedFile, FileObject } from "./schemas/file-object.ts";
import type { ModelList, ModelObject } from "./schemas/model-object.ts";
import type { PartObject, UploadObject } from "./schemas/upload-object.ts";

/** A model that clients may name in a batch. */
export interface Model {
  id: string;
  /** Epoch milliseconds. */
  createdAt: number;
  ownedBy: string;
}

export function seconds(ms: number): number;
export function seconds(ms: number | null): number | null;
export function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.floor(ms / 1_000);
}

/** All 22 members, always, in the order OpenAI sends them. */
export function batchToWire(batch: Batch): BatchObject {
  const { counts, usage } = batch;
  return {
    id: batch.id,
    object: "batch",
    endpoint: batch.endpoint,
    model: batch.model,
    errors: batch.errors && {
      object: "list",
      data: batch.errors.map(({ code, message, param, line }) => ({ code, message, param, line })),
    },
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    status: batch.status,
    output_file_id: batch.outputFileId,
    error_file_id: batch.errorFileId,
    created_at: seconds(batch.createdAt),
    in_progress_at: seconds(batch.inProgressAt),
    expires_at: seconds(batch.expiresAt),
    finalizing_at: seconds(batch.finalizingAt),
    completed_at: seconds(batch.completedAt),
    failed_at: seconds(batch.failedAt),
    expired_at: seconds(batch.expiredAt),
    cancelling_at: seconds(batch.cancellingAt),
    cancelled_at: seconds(batch.cancelledAt),
    request_counts: { total: counts.total, completed: counts.completed, failed: counts.failed },
    usage: {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      total_tokens: usage.totalTokens,
      input_tokens_details: { cached_tokens: usage.cachedTokens },
      output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    },
    metadata: batch.metadata,
  };
}

/** Every stored file is whole, so its status is always `processed`. */
export function fileToWire(file: StoredFile): FileObject {
  return {
    object: "file",
    id: file.id,
    purpose: file.purpose,
    filename: file.filename,
    bytes: file.sizeBytes,
    created_at: seconds(file.createdAt),
    expires_at: seconds(file.expiresAt),
    status: "processed",
    status_details: null,
  };
}

export function deletedFileToWire(id: string): DeletedFile {
  return { object: "file", id, deleted: true };
}

/** `file` is the file it became; null before. */
export function uploadToWire({ upload, status, file }: UploadView): UploadObject {
  return {
    id: upload.id,
    object: "upload",
    bytes: upload.sizeBytes,
    created_at: seconds(upload.createdAt),
    filename: upload.filename,
    purpose: upload.purpose,
    status,
    expires_at: seconds(upload.expiresAt),
    file: file && fileToWire(file),
  };
}

export function partToWire({ id, createdAt, uploadId }: UploadPart): PartObject {
  return { id, object: "upload.part", created_at: seconds(createdAt), upload_id: uploadId };
}

export function modelToWire({ id, createdAt, ownedBy }: Model): ModelObject {
  return { id, object: "model", created: seconds(createdAt), owned_by: ownedBy };
}

export function modelsToWire(models: readonly Model[]): ModelList {
  return { object: "list", data: models.map(modelToWire) };
}

/** A page of a list; `item` spells one of its members. */
export function pageToWire<T, W extends { id: string }>(page: Page<T>, item: (value: T) => W) {
  const data = page.data.map(item);
  return {
    object: "list" as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: page.hasMore,
  };
}

export function errorToWire({ message, type, param, code }: ApiError): ErrorObject {
  return { error: { message, type, param, code } };
}
