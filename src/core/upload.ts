// An upload in parts: what a client has announced, the parts that came, and the file they became.
// The parts are ordinary blobs until they are put together.

import type { UploadPurpose } from "./file.ts";

export type UploadStatus = "pending" | "completed" | "cancelled" | "expired";

/** All times are epoch milliseconds. */
export interface Upload {
  id: string;
  projectId: string;
  filename: string;
  purpose: UploadPurpose;
  mimeType: string;
  /** What all parts together must have. */
  sizeBytes: number;
  /** Lifetime of the file, from its own creation; null: as for any file of its purpose. */
  fileExpiresAfterSeconds: number | null;
  /** A pending upload whose time is over counts as expired: see `uploadStatus`. */
  status: Exclude<UploadStatus, "expired">;
  createdAt: number;
  expiresAt: number;
  /** Set when completed: the file, and the parts of which it was made, in order. */
  fileId: string | null;
  partIds: readonly string[] | null;
}

export interface UploadPart {
  id: string;
  uploadId: string;
  sizeBytes: number;
  /** Hex SHA-256 of the content. */
  sha256: string;
  blobKey: string;
  createdAt: number;
}

/** The status a client sees at `now`. */
export function uploadStatus(
  { status, expiresAt }: Pick<Upload, "status" | "expiresAt">,
  now: number,
): UploadStatus {
  return status === "pending" && now >= expiresAt ? "expired" : status;
}
