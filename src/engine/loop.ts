// Runs one kind of work over and over: at once when woken and, where it polls, every so often in any case. Never
// two at a time; an error is logged and does not end it.

import type { Log } from "../observability/log.ts";
import { OutageLog } from "../observability/outage-log.ts";

export interface LoopOptions {
  name: string;
  /** Null: only when woken. */
  pollMs: number | null;
  log: Log;
  tick: () => Promise<void>;
}

export class Loop {
  readonly #options: LoopOptions;
  readonly #outage: OutageLog;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #woken = false;
  #stopped = false;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#outage = new OutageLog(
      options.log,
      { begins: "engine work failed; will try again", ends: "engine work goes on" },
      { loop: options.name },
    );
  }

  /** Runs the work now, or once more after the run under way. */
  wake(): void {
    this.#woken = true;
    if (this.#stopped || this.#running) return;
    if (this.#timer) clearTimeout(this.#timer);
    // Not at once: the work may wake its own loop before its promise is known here.
    this.#running = Promise.resolve().then(() => this.#run());
  }

  async #run(): Promise<void> {
    let failed = false;
    while (this.#woken && !this.#stopped && !failed) {
      this.#woken = false;
      try {
        await this.#options.tick();
        this.#outage.succeeded();
      } catch (error) {
        // The next poll, or who wakes it next, tries again; at once would be a busy loop.
        failed = true;
        this.#outage.failed(error);
      }
    }
    this.#running = null;
    const { pollMs } = this.#options;
    if (!this.#stopped && pollMs !== null) this.#timer = setTimeout(() => this.wake(), pollMs);
  }

  /** Ends it, after the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#running;
  }
}
