// A clock that stands still until a test moves it. Wall clock and monotonic clock can be moved apart.
import type { Clock } from "../../src/core/clock.ts";

export class FakeClock implements Clock {
  #nowMs = Date.UTC(2026, 0, 1);
  #monotonicMs = 1_000;

  now(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Time goes by. */
  pass(ms: number): void {
    this.#nowMs += ms;
    this.#monotonicMs += ms;
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }
}
