// The engine of a node: plans, runs, assembles and sweeps, each in a loop of its own. It meets the
// HTTP side only in the Store, the BlobStore, the lanes, and the signals that make things prompt.

import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import { newNodeId } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { ProjectLimits } from "../core/project.ts";
import type { FetchRemote } from "../core/remote-file.ts";
import type { Signals } from "../core/signals.ts";
import type { Store } from "../core/store.ts";
import type { Lanes } from "../lanes/lanes.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { Assembler } from "./assembler.ts";
import { AttachedFiles } from "./attached-files.ts";
import { FreeSpace } from "./free-space.ts";
import { Leases } from "./leases.ts";
import { Loop } from "./loop.ts";
import { Planner } from "./planner.ts";
import { Runner } from "./runner.ts";
import { Sweeper } from "./sweeper.ts";

export interface EngineSettings {
  limits: Limits;
  allowSeveralModels: boolean;
  shardLines: number;
  maxAttempts: number;
  cancelGraceMs: number;
  leaseMs: number;
  pollMs: number;
  freeSpaceFloorBytes: number;
}

export interface EngineOptions {
  store: Store;
  blobs: BlobStore;
  lanes: Lanes;
  signals: Signals;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  settings: EngineSettings;
  limitsOf: (projectId: string) => ProjectLimits;
  /** How files are fetched that lines name by URL. */
  fetchRemote: FetchRemote;
  /** Epoch ms since when no other process has written to these stores; null when others may. */
  aloneSince: number | null;
}

const SWEEP_EVERY_MS = 10_000;
const SWEEP_ORPHANS_EVERY_MS = 3_600_000;
/** Longest upload that may be under way without a record of its file. */
const ORPHAN_AGE_MS = 3_600_000;

export class Engine {
  readonly #stopping = new AbortController();
  readonly #loops: readonly Loop[];
  readonly #runner: Runner;
  readonly #leases: Leases;
  readonly #unsubscribe: (() => void)[];

  constructor(options: EngineOptions) {
    const { store, clock, log, lanes, signals, blobs, settings, aloneSince } = options;
    const { signal } = this.#stopping;
    const leases = new Leases({ owner: newNodeId(), leaseMs: settings.leaseMs, store, clock, log });
    const loop = (name: string, pollMs: number, tick: (stopping: AbortSignal) => Promise<void>) =>
      new Loop({ name, pollMs, log, tick: () => tick(signal) });

    const planner = new Planner({ ...settings, ...options, leases });
    const assembler = new Assembler({ store, blobs, leases, signals, clock, log });
    const orphanAgeMs = ORPHAN_AGE_MS;
    const sweeper = new Sweeper({ store, blobs, clock, log, orphanAgeMs, aloneSince });
    const runner = new Runner({
      ...options,
      leases,
      files: new AttachedFiles({
        files: store.files,
        blobs,
        clock,
        fetchRemote: options.fetchRemote,
      }),
      freeSpace: new FreeSpace(blobs, settings.freeSpaceFloorBytes),
      onBatchSettled: () => assembling.wake(),
      onRoom: () => running.wake(),
    });
    const planning = loop("planner", settings.pollMs, (stopping) => planner.tick(stopping));
    const running = loop("runner", settings.pollMs, (stopping) => runner.tick(stopping));
    const assembling = loop("assembler", settings.pollMs, (stopping) => assembler.tick(stopping));
    const sweeping = loop("sweeper", SWEEP_EVERY_MS, (stopping) => sweeper.tick(stopping));
    const orphans = loop("orphans", SWEEP_ORPHANS_EVERY_MS, (stopping) =>
      sweeper.sweepOrphans(stopping),
    );

    this.#leases = leases;
    this.#runner = runner;
    this.#loops = [planning, running, assembling, sweeping, orphans];
    lanes.onChange(() => {
      planning.wake();
      running.wake();
    });
    this.#unsubscribe = [
      signals.on("batch-created", () => planning.wake()),
      signals.on("batch-planned", () => running.wake()),
      signals.on("batch-ending", () => {
        running.wake();
        assembling.wake();
      }),
      signals.on("bytes-unneeded", () => sweeping.wake()),
    ];
  }

  start(): void {
    for (const loop of this.#loops) loop.wake();
  }

  /** Claims nothing more, lets lines in flight finish within the grace time, and hands all shards back. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const end of this.#unsubscribe) end();
    const stopped = this.#runner.stop("shutdown");
    await Promise.all(this.#loops.map((loop) => loop.stop()));
    // A claim may have been opened meanwhile; its grace time runs beside that of the others.
    await this.#runner.stop("shutdown");
    await stopped;
    await this.#leases.stop();
  }
}
