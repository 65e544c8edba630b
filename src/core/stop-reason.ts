// Why the sending of a shard's lines stops before all are done. The first reason wins, but that any other
// takes the place of one under which lines in flight finish in peace. The functions here say what each means.

import type { Ending } from "./batch.ts";

/**
 * `yield`: other batches have waited long enough, and lines in flight finish in peace. `input-away`: the input
 * file can't be read at present; the same.
 * `input-damaged`: the input file can't be read as planned. `storage-failed`: the journal could not
 * be written, so nothing more can be recorded under this claim.
 */
export type StopReason =
  | "cancelled"
  | "expired"
  | "shutdown"
  | "yield"
  | "lease-lost"
  | "storage-failed"
  | "input-away"
  | "input-damaged";

/** A process that is told to stop must be gone within ten seconds. */
const MAX_SHUTDOWN_GRACE_MS = 6_000;

/** Whether lines in flight finish in peace, unless another reason comes. */
export function isPeaceful(reason: StopReason): boolean {
  return reason === "yield" || reason === "input-away";
}

/** How long lines in flight may still finish, in milliseconds. */
export function graceMs(reason: StopReason, configured: { cancelGraceMs: number }): number {
  if (isPeaceful(reason)) return Number.POSITIVE_INFINITY;
  if (reason === "cancelled") return configured.cancelGraceMs;
  return reason === "shutdown" ? Math.min(configured.cancelGraceMs, MAX_SHUTDOWN_GRACE_MS) : 0;
}

/** Whether answers may still be recorded: not when the claim or its journal is gone. */
export function mayRecord(reason: StopReason | null): boolean {
  return reason !== "lease-lost" && reason !== "storage-failed";
}

/** What the error file says of a line that has no result when its batch ends. */
export function unfinishedLineError(ending: Exclude<Ending, "completed">): {
  code: string;
  message: string;
} {
  return ending === "expired"
    ? {
        code: "batch_expired",
        message: "This request could not be executed before the completion window expired.",
      }
    : {
        code: "batch_cancelled",
        message: "This request was not executed because the batch was cancelled.",
      };
}
