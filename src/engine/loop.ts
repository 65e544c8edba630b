// Runs one kind of work over and over: at once when woken, and every so often in any case if it is to. Never
// two at a time; an error is logged and does not end it.

import type { Log } from "../observability/log.ts";

export interface LoopOptions {
  name: string;
  /** Null: only when woken. */
  pollMs: number | null;
  log: Log;
  tick: () => Promise<void>;
}

export class Loop {
  readonly #options: LoopOptions;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #woken = false;
  #isFailing = false;
  #stopped = false;

  constructor(options: LoopOptions) {
    this.#options = options;
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
        if (this.#isFailing)
          this.#options.log.info({ loop: this.#options.name }, "engine work goes on");
        this.#isFailing = false;
      } catch (error) {
        // The next poll, or who wakes it next, tries again; at once would be a busy loop.
        failed = true;
        const about = { err: error, loop: this.#options.name };
        // Every second would bury what else is logged.
        const level = this.#isFailing ? "debug" : "error";
        this.#options.log[level](about, "engine work failed; will try again");
        this.#isFailing = true;
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
