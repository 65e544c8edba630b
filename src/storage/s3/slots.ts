// A bound on how much happens at once. Who finds no slot free waits in the order of coming.

export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** Resolves when a slot is the caller's, who must `release` it. */
  async take(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }

  async run<T>(step: () => Promise<T>): Promise<T> {
    await this.take();
    try {
      return await step();
    } finally {
      this.release();
    }
  }
}

/** Calls `step` for each item, at most `atOnce` at a time. After a failure no further one begins. */
export async function forEachAtOnce<T>(
  atOnce: number,
  items: readonly T[],
  step: (item: T) => Promise<void>,
): Promise<void> {
  // Shared by all: each takes the next item.
  const rest = items.values();
  let hasFailed = false;
  const work = async () => {
    for (const item of rest) {
      if (hasFailed) return;
      try {
        await step(item);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(
    Array.from({ length: Math.min(atOnce, items.length) }, work),
  );
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  if (failure) throw failure.reason;
}
