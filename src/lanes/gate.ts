// Lets requests through, or holds them back for a while with a reason. While it is shut nothing
// passes; then one request probes; when that one succeeds the gate is open again. A breaker and a
// shared cool-down are the same thing here.

import type { Clock } from "../core/clock.ts";
import { backoffMs } from "../core/retry.ts";

const PAUSE = { baseMs: 500, maxMs: 30_000 };
/** Even a backend that asks for none gets a pause, or it would be hammered. */
const MIN_PAUSE_MS = 100;

/** Remembers under which opening a request passed, so that late answers don't count twice. */
export interface Pass {
  readonly generation: number;
  readonly probe: boolean;
}

export class Gate {
  readonly #clock: Clock;
  readonly #random: () => number;
  #reason: string | null = null;
  #generation = 0;
  /** Of everything that passes while the gate is open, under one generation. */
  #openPass: Pass = { generation: 0, probe: false };
  #pauses = 0;
  #reopensAtMs = 0;
  #probing = false;

  constructor(clock: Clock, random: () => number = Math.random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Why requests are held back; null while the gate is open. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Milliseconds until a probe may pass: 0 when open or due, Infinity while one is under way. */
  get waitMs(): number {
    if (this.#reason === null) return 0;
    if (this.#probing) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#reopensAtMs - this.#clock.monotonicMs());
  }

  /** Call only when `waitMs` is 0. */
  pass(): Pass {
    if (this.#reason === null) return this.#openPass;
    this.#probing = true;
    return { generation: this.#generation, probe: true };
  }

  /** For a request that goes by anyway, whether the gate is open or not, and is no probe. */
  look(): Pass {
    return this.#openPass;
  }

  /** The request's outcome says that the way is clear. */
  succeed(pass: Pass): void {
    if (this.#isStale(pass)) return;
    this.#reason = null;
    this.#pauses = 0;
    this.#probing = false;
  }

  /**
   * The request's outcome says that everybody should wait. Requests that were under way when the
   * gate shut only make the pause longer if the backend asks for that; they don't double it.
   */
  hold(pass: Pass, reason: string, retryAfterMs: number | null): void {
    const now = this.#clock.monotonicMs();
    if (this.#isStale(pass)) {
      this.#reopensAtMs = Math.max(this.#reopensAtMs, now + (retryAfterMs ?? 0));
      return;
    }
    this.#pauses++;
    this.#generation++;
    this.#openPass = { generation: this.#generation, probe: false };
    this.#probing = false;
    this.#reason = reason;
    const pauseMs = retryAfterMs ?? backoffMs(this.#pauses, PAUSE, this.#random());
    this.#reopensAtMs = now + Math.max(pauseMs, MIN_PAUSE_MS);
  }

  /** The request ended without saying anything about the way. */
  leave(pass: Pass): void {
    if (!this.#isStale(pass) && pass.probe) this.#probing = false;
  }

  #isStale(pass: Pass): boolean {
    return pass.generation !== this.#generation;
  }
}
