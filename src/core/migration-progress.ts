// How far a migration is, for people.

export type MigrationStep = "reading the source" | "copying rows" | "copying blobs" | "comparing";

export interface MigrationProgress {
  step: MigrationStep;
  /** The table at hand; null with blobs. */
  table: string | null;
  /** Rows of this step. */
  rows: number;
  rowsTotal: number;
  /** Blobs that were copied, read back and found equal. */
  blobs: number;
  blobsTotal: number;
  /** Bytes that were copied. */
  bytes: number;
  /** It grows: of some blobs the size is known when they are copied. */
  bytesTotal: number;
}
