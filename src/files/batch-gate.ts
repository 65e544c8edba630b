// What a file must look like to be taken as a batch input at all. Its lines are checked later, when
// a batch is made of it.
import { ApiError } from "../core/api-error.ts";
import type { StagedFile } from "./staged-file.ts";

const EXTENSION = /[^/\\]\.([^./\\]+)$/;

/**
 * Throws ApiError unless the name ends in .jsonl and the first line is JSON. A name without an
 * extension is what SDKs make up for content that has none ("upload", "unknown_file",
 * "anonymous_file"): then the content alone decides.
 */
export function checkBatchUpload(
  filename: string,
  { startsWithJson }: Pick<StagedFile, "startsWithJson">,
): void {
  const extension = EXTENSION.exec(filename)?.[1]?.toLowerCase();
  if (startsWithJson && (extension === undefined || extension === "jsonl")) return;
  throw new ApiError(400, "Invalid file format for Batch API. Must be .jsonl");
}
