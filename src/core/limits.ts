// The limits of the OpenAI Batch API as Offpeak applies them. All configurable; these are the defaults.

export interface Limits {
  /** Requests in one batch input file. */
  linesPerBatch: number;
  /** Bytes of one batch input file (200 MiB, the figure in OpenAI's own refusal). */
  batchFileSizeBytes: number;
  /** Bytes of a file of any other purpose. */
  fileSizeBytes: number;
  /** Bytes of a file that is uploaded in parts. */
  uploadSizeBytes: number;
  /** Bytes of one part of an upload. */
  partSizeBytes: number;
  /** Bytes of one line of a batch input file. */
  lineSizeBytes: number;
  /** Embedding inputs over all lines of one batch. */
  embeddingInputsPerBatch: number;
  /** Bad lines after which validation stops; one entry more in `errors.data` says so. */
  validationErrors: number;
  /** Bytes of one line's answer from an upstream. */
  answerSizeBytes: number;
}

export const defaultLimits: Limits = {
  linesPerBatch: 50_000,
  batchFileSizeBytes: 200 * 1024 * 1024,
  fileSizeBytes: 512 * 1024 * 1024,
  uploadSizeBytes: 8 * 1024 * 1024 * 1024,
  partSizeBytes: 64 * 1024 * 1024,
  lineSizeBytes: 32 * 1024 * 1024,
  embeddingInputsPerBatch: 50_000,
  validationErrors: 100,
  answerSizeBytes: 64 * 1024 * 1024,
};

const DAY_SECONDS = 86_400;
/** Range of every `expires_after.seconds`. */
export const EXPIRES_AFTER_MIN_SECONDS = 3_600;
export const EXPIRES_AFTER_MAX_SECONDS = 30 * DAY_SECONDS;
/** How long batch inputs and outputs are kept when the client doesn't say. */
export const DEFAULT_BATCH_FILE_LIFETIME_SECONDS = 30 * DAY_SECONDS;
/** How long an upload in parts may take. */
export const UPLOAD_LIFETIME_MS = 3_600_000;
/** A custom_id as it stands in the file, in bytes: the plan stores its length in 16 bits. */
export const CUSTOM_ID_MAX_BYTES = 65_535;
