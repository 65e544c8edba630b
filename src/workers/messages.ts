// What the serving process and its workers tell each other. The channel keeps the order, and loses
// nothing while both live.

import type { PackedConfig } from "../config/worker-config.ts";
import type { SignalName } from "../core/signals.ts";
import type { LaneReport } from "../lanes/lanes.ts";
import type { MetricsSnapshot } from "../observability/metrics-sum.ts";

/**
 * `clear`: run empty on the upstream, and say so. `granted`: nobody else has anything in flight there.
 * `go-on`: no turn is under way.
 */
export type TurnOrder =
  | { kind: "clear"; upstream: string; turn: number }
  | { kind: "granted"; upstream: string; claim: number }
  | { kind: "go-on"; upstream: string };

/** `claim`: to have the upstream to itself. `empty`: of requests, as the turn wants it. */
export type TurnNotice =
  | { kind: "claim"; upstream: string; claim: number }
  | { kind: "give-up"; upstream: string }
  | { kind: "empty"; upstream: string; turn: number };

export interface Assignment {
  kind: "start";
  number: number;
  /** The worker's name in leases. */
  nodeId: string;
  config: PackedConfig;
}

export type ToWorker =
  | Assignment
  | { kind: "stop" }
  | { kind: "signal"; name: SignalName }
  | { kind: "report"; question: number }
  | TurnOrder;

/** What a worker knows of itself: for probes and metrics. */
export interface WorkerReport {
  lanes: LaneReport[];
  metrics: MetricsSnapshot;
}

/** `present`: it can be seen on the data directory, and may be given work. */
export type FromWorker =
  | { kind: "present" }
  | { kind: "signal"; name: SignalName }
  | { kind: "report"; question: number; report: WorkerReport }
  | TurnNotice;
