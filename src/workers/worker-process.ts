// One worker as the server sees it: a child process with a number, a name in leases, and a channel.
// It works until it is told to stop, or dies.

import { fork } from "node:child_process";
import { extname, join } from "node:path";
import { type Config } from "../config/config.ts";
import { packWorkerConfig } from "../config/worker-config.ts";
import { newNodeId } from "../core/ids.ts";
import type { FromWorker, ToWorker, TurnOrder, WorkerReport } from "./messages.ts";
import type { TurnTaker } from "./upstream-turns.ts";

/** Its source while developing, compiled in the package. */
const PROGRAM = join(import.meta.dirname, `worker-main${extname(import.meta.filename)}`);
/** A worker that is too busy to answer is spoken for by its last answer. */
const REPORT_LIMIT_MS = 1_000;

export interface WorkerEnd {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

export interface WorkerProcessOptions {
  config: Config;
  number: number;
  onMessage: (message: Exclude<FromWorker, { kind: "report" }>) => void;
}

export class WorkerProcess implements TurnTaker {
  readonly number: number;
  readonly nodeId = newNodeId();
  readonly ended: Promise<WorkerEnd>;
  readonly #config: Config;
  readonly #child;
  readonly #asking = new Map<number, () => void>();
  #questions = 0;
  #report: WorkerReport = { lanes: [], metrics: [] };

  constructor({ config, number, onMessage }: WorkerProcessOptions) {
    this.number = number;
    this.#config = config;
    this.#child = fork(PROGRAM, [config.dataDir, String(number)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // NaN, of which metrics are full, is not JSON.
      serialization: "advanced",
    });
    this.#child.on("message", (message) => {
      const said = message as FromWorker;
      if (said.kind !== "report") onMessage(said);
      else this.#take(said.question, said.report);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once("exit", (exitCode, signal) => resolve({ exitCode, signal }));
      this.#child.once("error", () => resolve({ exitCode: null, signal: null }));
    });
    void this.ended.then(() => {
      for (const answer of this.#asking.values()) answer();
    });
  }

  /** What it last said of itself. */
  get lastReport(): WorkerReport {
    return this.#report;
  }

  /** Gives it its work. */
  assign(): void {
    const { number, nodeId } = this;
    this.#tell({ kind: "start", number, nodeId, config: packWorkerConfig(this.#config, number) });
  }

  order(order: TurnOrder): void {
    this.#tell(order);
  }

  signal(name: Extract<ToWorker, { kind: "signal" }>["name"]): void {
    this.#tell({ kind: "signal", name });
  }

  /** What it says of itself now; when it doesn't in time, what it said last. */
  async report(): Promise<WorkerReport> {
    const question = ++this.#questions;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, REPORT_LIMIT_MS);
      this.#asking.set(question, () => {
        clearTimeout(timer);
        resolve();
      });
      this.#tell({ kind: "report", question });
    });
    this.#asking.delete(question);
    return this.#report;
  }

  /** Has it end in good order; at once when that takes longer than `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#tell({ kind: "stop" });
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), limitMs);
    await this.ended;
    clearTimeout(timer);
  }

  #take(question: number, report: WorkerReport): void {
    this.#report = report;
    this.#asking.get(question)?.();
  }

  #tell(message: ToWorker): void {
    // To one that has just died: its end is dealt with when it is known.
    this.#child.send(message, () => undefined);
  }
}
