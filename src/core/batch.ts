// A batch: its statuses, which may follow which, and what Offpeak knows of it beyond the wire.

import type { Usage } from "./usage.ts";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

/** Every change of status that can happen. Each one is a compare-and-set in the Store. */
export const statusTransitions: Readonly<Record<BatchStatus, readonly BatchStatus[]>> = {
  validating: ["in_progress", "failed", "cancelling"],
  in_progress: ["finalizing", "expired", "cancelling"],
  finalizing: ["completed", "cancelling"],
  cancelling: ["cancelled"],
  completed: [],
  failed: [],
  expired: [],
  cancelled: [],
};

export const batchStatuses = Object.keys(statusTransitions) as BatchStatus[];

/** The statuses from which nothing follows. */
export const terminalStatuses: readonly BatchStatus[] = batchStatuses.filter(
  (status) => statusTransitions[status].length === 0,
);

/** The statuses from which a client may cancel. */
export const cancellableStatuses: readonly BatchStatus[] = batchStatuses.filter((status) =>
  statusTransitions[status].includes("cancelling"),
);

/**
 * Why the lines of a planned batch stop being sent: all are recorded, the window is over, or the
 * client cancelled. Null while lines are being sent. It says what becomes of lines without a result.
 */
export type Ending = "completed" | "expired" | "cancelled";

/** One entry of `errors.data`. `line` is 1-based; null when the whole file is meant. */
export interface ValidationError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

export interface RequestCounts {
  total: number;
  completed: number;
  failed: number;
}

/** All times are epoch milliseconds. */
export interface Batch {
  id: string;
  projectId: string;
  endpoint: string;
  completionWindow: string;
  inputFileId: string;
  metadata: Record<string, string> | null;
  outputExpiresAfterSeconds: number | null;
  status: BatchStatus;
  ending: Ending | null;
  model: string | null;
  errors: ValidationError[] | null;
  outputFileId: string | null;
  errorFileId: string | null;
  createdAt: number;
  inProgressAt: number | null;
  expiresAt: number;
  finalizingAt: number | null;
  completedAt: number | null;
  failedAt: number | null;
  expiredAt: number | null;
  cancellingAt: number | null;
  cancelledAt: number | null;
  /** Sums over the batch's shards while it runs, fixed once it has ended. */
  counts: RequestCounts;
  usage: Usage;
  /** When a planner first took it up: from then on deleting the input file no longer fails it. */
  planningStartedAt: number | null;
  /** Blob of the plan; null until planned. */
  planKey: string | null;
  /** Why nothing moves, in words, while that is so. */
  waitingReason: string | null;
}

export type NewBatch = Pick<
  Batch,
  | "id"
  | "projectId"
  | "endpoint"
  | "completionWindow"
  | "inputFileId"
  | "metadata"
  | "outputExpiresAfterSeconds"
  | "createdAt"
  | "expiresAt"
>;
