// Logs an outage once, and once that it is over: what is tried again every second would bury all else. What fails in
// between is there for who wants it, at the level debug.
import type { Log } from "./log.ts";

export class OutageLog {
  readonly #log: Log;
  readonly #messages: { begins: string; ends: string };
  readonly #about: object;
  #isOut = false;

  constructor(log: Log, messages: { begins: string; ends: string }, about: object = {}) {
    this.#log = log;
    this.#messages = messages;
    this.#about = about;
  }

  failed(error: unknown): void {
    this.#log[this.#isOut ? "debug" : "error"](
      { ...this.#about, err: error },
      this.#messages.begins,
    );
    this.#isOut = true;
  }

  succeeded(): void {
    if (this.#isOut) this.#log.info(this.#about, this.#messages.ends);
    this.#isOut = false;
  }
}
