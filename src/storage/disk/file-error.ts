// Errors of the file system, told apart by their code.

/** Whether `error` is one of the file system with one of these codes. */
export function isFileError(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(error.code as string);
}

/** There is no file under that path; a folder, or a path through a file, is none. */
export function isMissing(error: unknown): boolean {
  return isFileError(error, "ENOENT", "ENOTDIR", "EISDIR");
}
