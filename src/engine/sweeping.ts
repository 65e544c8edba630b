// Has the sweeper work in the serving process, beside the engine or its workers: every few seconds, and
// at once when bytes are no longer needed.

import type { Signals } from "../core/signals.ts";
import { Loop } from "./loop.ts";
import { Sweeper, type SweeperOptions } from "./sweeper.ts";

export interface SweepingOptions extends Omit<SweeperOptions, "orphanAgeMs"> {
  signals: Signals;
  /** Whether it is this process that sweeps, where several could. */
  isOurs: () => boolean;
}

const SWEEP_EVERY_MS = 10_000;
const SWEEP_ORPHANS_EVERY_MS = 3_600_000;
/** Longest upload that may be under way without a record of its file; S3 dates an object by the upload's beginning. */
const ORPHAN_AGE_MS = 24 * 3_600_000;

export class Sweeping {
  readonly #stopping = new AbortController();
  readonly #loops: readonly Loop[];
  readonly #unsubscribe: () => void;

  constructor(options: SweepingOptions) {
    const { signal } = this.#stopping;
    const { log } = options;
    const sweeper = new Sweeper({ ...options, orphanAgeMs: ORPHAN_AGE_MS });
    const sweeping = new Loop({
      name: "sweeper",
      pollMs: SWEEP_EVERY_MS,
      log,
      tick: async () => {
        if (options.isOurs()) await sweeper.tick(signal);
      },
    });
    const orphans = new Loop({
      name: "orphans",
      pollMs: SWEEP_ORPHANS_EVERY_MS,
      log,
      tick: async () => {
        if (options.isOurs()) await sweeper.sweepOrphans(signal);
      },
    });
    this.#loops = [sweeping, orphans];
    this.#unsubscribe = options.signals.on("bytes-unneeded", () => sweeping.wake());
  }

  start(): void {
    for (const loop of this.#loops) loop.wake();
  }

  /** Ends after the deletion under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe();
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }
}
