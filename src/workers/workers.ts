// The workers of a server: starts them, replaces those that die, and brings them together: signals,
// turns on upstreams, metrics and lanes. What a dead one had goes to the others at once.

import type { Config } from "../config/config.ts";
import type { Clock } from "../core/clock.ts";
import { backoffMs } from "../core/retry.ts";
import { type Relay, type Signals, workSignals } from "../core/signals.ts";
import type { Store } from "../core/store.ts";
import type { LaneReport } from "../lanes/lanes.ts";
import type { Log } from "../observability/log.ts";
import { type MetricsSnapshot, countsIn, sumOf } from "../observability/metrics-sum.ts";
import type { Metrics } from "../observability/metrics.ts";
import { UpstreamTurns } from "./upstream-turns.ts";
import { type WorkerEnd, WorkerProcess } from "./worker-process.ts";

export interface WorkersOptions {
  config: Config;
  store: Pick<Store, "voidLeasesOf">;
  signals: Signals;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** How a worker is, for people and probes. */
export interface WorkerState {
  number: number;
  state: "running" | "starting" | "down";
  /** Why it is down; null when it is not. */
  reason: string | null;
}

/** The place of a worker, whichever process fills it. */
interface Place {
  readonly number: number;
  worker: WorkerProcess | null;
  state: WorkerState["state"];
  reason: string | null;
  /** Deaths in a row. */
  deaths: number;
  startedMs: number;
  timer: NodeJS.Timeout | null;
}

const RESTART = { baseMs: 500, maxMs: 30_000 };
/** Who has lived that long does not die of its start. */
const SETTLED_MS = 60_000;
/** Longer than the grace time of lines in flight, shorter than a supervisor waits. */
const STOP_LIMIT_MS = 9_000;

export class Workers {
  readonly #options: WorkersOptions;
  readonly #places: readonly Place[];
  readonly #turns = new UpstreamTurns();
  /** The counts of workers that have ended. */
  #retired: Promise<MetricsSnapshot> = Promise.resolve([]);
  #isStopping = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#places = Array.from({ length: options.config.workers }, (_, index) => ({
      number: index + 1,
      worker: null,
      state: "starting",
      reason: null,
      deaths: 0,
      startedMs: 0,
      timer: null,
    }));
  }

  /** Doesn't wait for them. */
  start(): void {
    for (const place of this.#places) this.#fill(place);
  }

  states(): WorkerState[] {
    return this.#places.map(({ number, state, reason }) => ({ number, state, reason }));
  }

  /** The lanes of all workers: a lane is paused when it is in one of them. */
  async lanes(): Promise<LaneReport[]> {
    const reports = await Promise.all(this.#running().map((worker) => worker.report()));
    const merged = new Map<string, LaneReport>();
    for (const lane of reports.flatMap(({ lanes }) => lanes)) {
      if (lane.model === null) continue;
      const key = JSON.stringify([lane.upstream, lane.model]);
      const known = merged.get(key);
      if (!known || known.state === "ok") merged.set(key, lane);
    }
    return [...merged.values()];
  }

  /** What each worker has measured, and what those that have ended had counted. */
  async metrics(): Promise<MetricsSnapshot[]> {
    // Both of one moment: who dies meanwhile answers with what it said last, and is not retired yet.
    const retired = this.#retired;
    const reports = await Promise.all(this.#running().map((worker) => worker.report()));
    return [await retired, ...reports.map(({ metrics }) => metrics)];
  }

  /** Has all of them hand back what they have and end. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const { timer } of this.#places) if (timer) clearTimeout(timer);
    await Promise.all(this.#running().map((worker) => worker.stop(STOP_LIMIT_MS)));
  }

  #running(): WorkerProcess[] {
    return this.#places.flatMap(({ worker }) => worker ?? []);
  }

  #fill(place: Place): void {
    const { config, signals, clock } = this.#options;
    const relay: Relay = (name) => worker.signal(name);
    let disconnect: () => void = () => undefined;
    const worker = new WorkerProcess({
      config,
      number: place.number,
      onMessage: (message) => {
        // The channel may still bring what a dead one had said.
        if (place.worker !== worker) return;
        if (message.kind === "signal") signals.emit(message.name, relay);
        else if (message.kind !== "present") this.#turns.notice(worker, message);
        else {
          // In this order: it must not send where a turn is under way.
          this.#turns.join(worker);
          disconnect = signals.connect(relay);
          worker.assign();
          place.state = "running";
          place.reason = null;
        }
      },
    });
    place.worker = worker;
    place.state = "starting";
    place.startedMs = clock.monotonicMs();
    void worker.ended.then((end) => {
      disconnect();
      return this.#onEnd(place, worker, end);
    });
  }

  async #onEnd(place: Place, worker: WorkerProcess, end: WorkerEnd): Promise<void> {
    const { signals, clock, log, metrics, store } = this.#options;
    const { number } = place;
    place.worker = null;
    this.#turns.leave(worker);
    const counted = countsIn(worker.lastReport.metrics);
    this.#retired = this.#retired.then((retired) => sumOf([retired, counted]));
    if (this.#isStopping) return;
    const settled = clock.monotonicMs() - place.startedMs >= SETTLED_MS;
    place.deaths = settled ? 1 : place.deaths + 1;
    const pauseMs = Math.round(backoffMs(place.deaths, RESTART, Math.random()));
    place.state = "down";
    place.reason = `${howItEnded(end)}, ${place.deaths} in a row; see the log`;
    place.timer = setTimeout(() => this.#fill(place), pauseMs);
    metrics.workerDeaths.inc();
    log.error(
      { worker: number, exit_code: end.exitCode, signal: end.signal, restart_ms: pauseMs },
      "worker died; its work is free for the others",
    );
    try {
      await store.voidLeasesOf(worker.nodeId);
      for (const name of workSignals) signals.emit(name);
    } catch (error) {
      log.error(
        { err: error, worker: number },
        "could not free its work; that waits for the leases to end",
      );
    }
  }
}

function howItEnded({ exitCode, signal }: WorkerEnd): string {
  if (signal !== null) return `ended by ${signal}`;
  return exitCode === null ? "could not be started" : `ended with exit code ${exitCode}`;
}
