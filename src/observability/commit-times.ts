// How long writes of journals take: those that ended, as a histogram, and the oldest that has not, as a gauge. A
// storage that hangs ends nothing, so only the gauge shows it.
import { Gauge, Histogram, type Registry } from "prom-client";

/** 0.1 ms to 5 s: from a memory-backed directory to a disk in trouble. */
const COMMIT_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

export class CommitTimes {
  readonly #ended: Histogram;
  /** When each write under way began, on the clock of `performance`, oldest first. */
  readonly #underWay = new Set<{ startedMs: number }>();

  constructor(registers: Registry[]) {
    this.#ended = new Histogram({
      name: "offpeak_journal_commit_seconds",
      help: "Time to append to a journal and make it durable.",
      buckets: COMMIT_SECONDS,
      registers,
    });
    const oldestMs = () => this.oldestMs;
    new Gauge({
      name: "offpeak_journal_commit_waiting_seconds",
      help: "How long the oldest append to a journal that has not ended takes by now; 0 when there is none.",
      // Of several processes the one that waits longest.
      aggregator: "max",
      registers,
      collect() {
        this.set(oldestMs() / 1000);
      },
    });
  }

  /** A write begins. Answers what is to be called when it ends. */
  begin(): (isDurable: boolean) => void {
    const write = { startedMs: performance.now() };
    this.#underWay.add(write);
    return (isDurable) => {
      this.#underWay.delete(write);
      if (isDurable) this.#ended.observe((performance.now() - write.startedMs) / 1000);
    };
  }

  /** How long the oldest write under way takes by now; 0 when there is none. */
  get oldestMs(): number {
    for (const { startedMs } of this.#underWay) return performance.now() - startedMs;
    return 0;
  }
}
