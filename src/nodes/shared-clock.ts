// The wall clock of a node that shares a Store: this machine's, moved to agree with the Store's clock. So windows end,
// files expire and times that clients see are the same on every node, whatever its machine believes.

import type { Clock } from "../core/clock.ts";

/** What is less is not worth a jump: an answer takes some time to come. */
const TOLERANCE_MS = 1_000;
/** An answer that took longer says too little. */
const PATIENCE_MS = 2_000;

export class SharedClock implements Clock {
  readonly #machine: Clock;
  #aheadMs = 0;

  constructor(machine: Clock) {
    this.#machine = machine;
  }

  now(): number {
    return this.#machine.now() + this.#aheadMs;
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs();
  }

  /**
   * Takes in what the Store's clock showed just now (epoch ms). Answers by how much the machine's clock is behind it,
   * in ms, when that is news.
   * @param askedMs when it was asked, on the monotonic clock
   */
  learn(storeNow: number, askedMs: number): number | undefined {
    const tookMs = this.monotonicMs() - askedMs;
    const aheadMs = Math.round(storeNow + tookMs / 2 - this.#machine.now());
    const isNews = Math.abs(aheadMs - this.#aheadMs) >= TOLERANCE_MS;
    if (tookMs > PATIENCE_MS || !isNews) return undefined;
    this.#aheadMs = aheadMs;
    return aheadMs;
  }
}
