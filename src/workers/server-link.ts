// A worker's end of the channel to the server: brings orders to the parts that obey them, and ends the
// process at once when the server is gone, for then somebody else may own its work.

import { type Relay, type Signals } from "../core/signals.ts";
import type { Assignment, FromWorker, ToWorker, WorkerReport } from "./messages.ts";
import { WorkerTurn } from "./worker-turn.ts";

export interface Assigned {
  report(): Promise<WorkerReport>;
  /** Hands back what it has, and closes everything. */
  stop(): Promise<void>;
}

export class ServerLink {
  readonly #process: NodeJS.Process;
  readonly #signals: Signals;
  readonly #start: (assignment: Assignment) => Promise<Assigned>;
  readonly #turns = new Map<string, WorkerTurn>();
  readonly #relay: Relay = (name) => this.tell({ kind: "signal", name });
  #assigned: Promise<Assigned> | null = null;

  constructor(
    process: NodeJS.Process,
    signals: Signals,
    start: (assignment: Assignment) => Promise<Assigned>,
  ) {
    this.#process = process;
    this.#signals = signals;
    this.#start = start;
    signals.connect(this.#relay);
    process.on("disconnect", () => process.exit(1));
    process.on("message", (message) => void this.#obey(message as ToWorker));
  }

  tell(message: FromWorker): void {
    // A server that is gone gets no answer: the channel's end is about to end this process.
    this.#process.send?.(message, () => undefined);
  }

  turnOf(upstream: string): WorkerTurn {
    let turn = this.#turns.get(upstream);
    if (!turn) {
      turn = new WorkerTurn(upstream, (notice) => this.tell(notice));
      this.#turns.set(upstream, turn);
    }
    return turn;
  }

  async #obey(message: ToWorker): Promise<void> {
    switch (message.kind) {
      case "start":
        this.#assigned = this.#start(message);
        return;
      case "stop":
        await (await this.#assigned)?.stop();
        this.#process.exit(0);
        return;
      case "signal":
        this.#signals.emit(message.name, this.#relay);
        return;
      case "report": {
        const assigned = await this.#assigned;
        if (!assigned) return;
        const { question } = message;
        this.tell({ kind: "report", question, report: await assigned.report() });
        return;
      }
      case "clear":
      case "granted":
      case "go-on":
        this.turnOf(message.upstream).obey(message);
        return;
    }
  }
}
