// Errors of the file system, told apart by their code.

import { StorageFullError } from "../../core/store.ts";

/** Whether `error` is one of the file system with one of these codes. */
export function isFileError(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(error.code as string);
}

/** There is no file under that path; a folder, or a path through a file, is none. */
export function isMissing(error: unknown): boolean {
  return isFileError(error, "ENOENT", "ENOTDIR", "EISDIR");
}

/** The error as callers know it: StorageFullError when there is no room, else as it is. */
export function toStoreError(error: unknown): unknown {
  if (!isFileError(error, "ENOSPC", "EDQUOT")) return error;
  return new StorageFullError("There is no disk space left for files.", { cause: error });
}
