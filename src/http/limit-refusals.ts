// What a client is told when there is no more room for what it wants, in its project or on the server, or
// when the storage that nodes share can't be reached.
import { ApiError } from "../core/api-error.ts";
import { LimitExceededError, StorageFullError, StorageUnavailableError } from "../core/store.ts";
import { TemporaryRefusal } from "./temporary-refusal.ts";

/** Undefined for any other error, and for limits that no request can exceed. */
export function limitRefusal(error: unknown): ApiError | undefined {
  if (error instanceof StorageFullError) return outOfSpace();
  if (error instanceof StorageUnavailableError) return unavailable();
  if (!(error instanceof LimitExceededError)) return undefined;
  const { limit, allowed } = error;
  if (limit === "batches-per-hour") return tooManyBatches(allowed);
  if (limit === "stored-bytes") return tooMuchStored(allowed);
  if (limit === "part-bytes") return tooManyParts(allowed);
  return undefined;
}

function outOfSpace(): ApiError {
  return new TemporaryRefusal(
    503,
    "The server is out of disk space. Delete files or make room, and try again.",
    { code: "insufficient_storage" },
  );
}

function unavailable(): ApiError {
  return new TemporaryRefusal(
    503,
    "The server's storage cannot be reached at present, and what you asked for may or may not have been done. " +
      "Please try again; with an Idempotency-Key nothing is made twice.",
    { code: "storage_unavailable" },
  );
}

function tooManyBatches(allowed: number): ApiError {
  return new TemporaryRefusal(
    429,
    `Rate limit reached: this project may create ${allowed} batches per hour. Please try again later, ` +
      "or put more requests into one batch.",
    { type: "requests", code: "rate_limit_exceeded" },
  );
}

function tooMuchStored(allowed: number): ApiError {
  return new ApiError(
    400,
    `Storage limit reached: this project may store ${allowed} bytes in files and pending uploads. ` +
      "Delete files, or cancel uploads, and try again.",
    { code: "storage_limit_exceeded" },
  );
}

function tooManyParts(allowed: number): ApiError {
  return new ApiError(
    400,
    `The parts of this upload may have at most ${allowed} bytes together, those that were sent again ` +
      "included. Cancel the upload and create a new one.",
    { param: "data" },
  );
}
