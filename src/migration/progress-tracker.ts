// Keeps count of how far a migration is, and tells it.

import type { MigrationProgress, MigrationStep } from "../core/migration-progress.ts";

export type Report = (progress: Readonly<MigrationProgress>) => void;

export class ProgressTracker {
  readonly #report: Report;
  readonly #progress: MigrationProgress = {
    step: "reading the source",
    table: null,
    rows: 0,
    rowsTotal: 0,
    blobs: 0,
    blobsTotal: 0,
    bytes: 0,
    bytesTotal: 0,
  };

  constructor(report: Report) {
    this.#report = report;
  }

  get now(): Readonly<MigrationProgress> {
    return this.#progress;
  }

  begin(step: MigrationStep, rowsTotal = 0): void {
    Object.assign(this.#progress, { step, table: null, rows: 0, rowsTotal });
    this.#report(this.#progress);
  }

  addRows(table: string, rows: number): void {
    this.#progress.table = table;
    this.#progress.rows += rows;
    this.#report(this.#progress);
  }

  /** What is to be copied. */
  expect(blobs: number, bytes: number): void {
    this.#progress.blobsTotal += blobs;
    this.#progress.bytesTotal += bytes;
  }

  addBytes(bytes: number): void {
    this.#progress.bytes += bytes;
    this.#report(this.#progress);
  }

  addBlob(): void {
    this.#progress.blobs += 1;
    this.#report(this.#progress);
  }
}
