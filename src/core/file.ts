// A file as clients see it, plus where its bytes are.

/** The purposes a client may upload with. */
export const uploadPurposes = [
  "fine-tune",
  "assistants",
  "batch",
  "user_data",
  "vision",
  "evals",
] as const;

/** All purposes a file object can have: those of uploads and those the server itself gives. */
export const filePurposes = [
  ...uploadPurposes,
  "assistants_output",
  "batch_output",
  "fine-tune-results",
] as const;

export type UploadPurpose = (typeof uploadPurposes)[number];
export type FilePurpose = (typeof filePurposes)[number];

/** Purposes whose content the API hands out again. */
export const downloadablePurposes: readonly FilePurpose[] = [
  "batch",
  "batch_output",
  "fine-tune",
  "fine-tune-results",
  "evals",
];

/** All times are epoch milliseconds. */
export interface StoredFile {
  id: string;
  projectId: string;
  purpose: FilePurpose;
  filename: string;
  sizeBytes: number;
  /** Hex SHA-256 of the content; null for files the server assembled. */
  sha256: string | null;
  blobKey: string;
  createdAt: number;
  /** Null: kept until deleted. */
  expiresAt: number | null;
}
