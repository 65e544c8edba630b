// What a shard's run is given, and how it can end.

import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { ResultIds } from "../core/ids.ts";
import type { ShardClaim } from "../core/shard-store.ts";
import type { StopReason } from "../core/stop-reason.ts";
import type { RunnableBatch, Store } from "../core/store.ts";
import type { Lane } from "../lanes/lane.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { AttachedFiles } from "./attached-files.ts";
import type { HeldLease } from "./leases.ts";
import type { PlanSlice } from "./plan.ts";
import type { TakenOver } from "./take-over.ts";

export interface ShardRunSettings {
  /** Tries of one line, the first included; conditions of the lane don't count. */
  maxAttempts: number;
  cancelGraceMs: number;
}

export interface ShardRunOptions {
  store: Store;
  blobs: BlobStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  ids: ResultIds;
  settings: ShardRunSettings;
  claim: ShardClaim;
  batch: RunnableBatch;
  lease: HeldLease;
  /** Where the shard's model is served. */
  lanes: readonly Lane[];
  /** The shard's own entries. */
  plan: PlanSlice;
  input: BlobReader;
  takenOver: TakenOver;
  /** Where the files are to which lines refer. */
  files: AttachedFiles;
  /** When so many lines are left to send, `onLow` is called. */
  lowWater: number;
  onLow: () => void;
  /** True while nothing may be sent for a reason outside the shard. */
  isHeld: () => boolean;
}

/** How a run ended. `batch-settled`: finished, and it was the last shard of its batch. */
export type RunEnd =
  | "finished"
  | "batch-settled"
  | "given-back"
  | "lost"
  | "storage-failed"
  | "input-damaged";

/** How the run of a shard ends that is given back. */
export function endOf(reason: StopReason | null): RunEnd {
  if (reason === "input-damaged") return reason;
  return reason === "storage-failed" || reason === "input-away" ? "storage-failed" : "given-back";
}
