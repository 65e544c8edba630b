// Lines that wait before their next try. One timer for all of them.

export class RetryQueue {
  readonly #onDue: (index: number) => void;
  readonly #waiting: { index: number; dueMs: number }[] = [];
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Number.POSITIVE_INFINITY;

  /** @param onDue called with each line whose wait is over */
  constructor(onDue: (index: number) => void) {
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** @param nowMs monotonic time */
  add(index: number, nowMs: number, waitMs: number): void {
    this.#waiting.push({ index, dueMs: nowMs + waitMs });
    if (nowMs + waitMs < this.#timerDueMs) this.#arm(nowMs);
  }

  #arm(nowMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerDueMs = Math.min(
      Number.POSITIVE_INFINITY,
      ...this.#waiting.map(({ dueMs }) => dueMs),
    );
    if (this.#waiting.length === 0) return;
    const dueMs = this.#timerDueMs;
    this.#timer = setTimeout(() => this.#release(dueMs), Math.max(0, dueMs - nowMs));
  }

  #release(nowMs: number): void {
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= nowMs);
    const later = this.#waiting.filter(({ dueMs }) => dueMs > nowMs);
    this.#waiting.splice(0, this.#waiting.length, ...later);
    this.#arm(nowMs);
    for (const { index } of due) this.#onDue(index);
  }

  clear(): void {
    this.#waiting.length = 0;
    this.#arm(0);
  }
}
