// The engine of a node: plans, runs and assembles, each in a loop of its own. It meets the HTTP side
// only in the Store, the BlobStore, the lanes, and the signals that make things prompt.

import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
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
  /** The node's name in leases: another one for each start of a process. */
  nodeId: string;
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
}

export class Engine {
  readonly #stopping = new AbortController();
  readonly #loops: readonly Loop[];
  readonly #runner: Runner;
  readonly #leases: Leases;
  readonly #unsubscribe: (() => void)[];

  constructor(options: EngineOptions) {
    const { store, clock, log, lanes, signals, blobs, settings } = options;
    const { signal } = this.#stopping;
    const { leaseMs, pollMs } = settings;
    const leases = new Leases({ owner: options.nodeId, leaseMs, store, clock, log });

    const planner = new Planner({ ...settings, ...options, leases });
    const assembler = new Assembler({ store, blobs, leases, signals, clock, log });
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
      pollMs,
      onBatchSettled: () => assembling.wake(),
      onRoom: () => running.wake(),
    });
    const woken = { pollMs: null, log };
    const polled = { pollMs, log };
    const planning = new Loop({ ...woken, name: "planner", tick: () => planner.tick(signal) });
    const running = new Loop({ ...polled, name: "runner", tick: () => runner.tick(signal) });
    const assembling = new Loop({
      ...woken,
      name: "assembler",
      tick: () => assembler.tick(signal),
    });
    const look = async () => {
      const due = await store.batches.findDue(clock.now());
      if (due.toExpire && (await store.batches.expireDue(clock.now())).length > 0) {
        signals.emit("batch-ending");
      }
      if (due.toPlan) planning.wake();
      if (due.toAssemble) assembling.wake();
    };
    const looking = new Loop({ ...polled, name: "look for work", tick: look });

    this.#leases = leases;
    this.#runner = runner;
    this.#loops = [looking, planning, running, assembling];
    const runOther = () => {
      runner.refresh();
      running.wake();
    };
    lanes.onChange(() => {
      planning.wake();
      runOther();
    });
    this.#unsubscribe = [
      signals.on("batch-created", () => planning.wake()),
      signals.on("batch-planned", runOther),
      signals.on("batch-ending", () => {
        // Its shards learn of it, and give way.
        void leases.renewNow();
        runOther();
        assembling.wake();
      }),
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
