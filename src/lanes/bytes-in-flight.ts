// How many bytes of requests a lane has in flight. Small ones are simply counted; who is about to load
// something large asks before, and waits until there is room.

const MAX_BYTES = 128 * 1024 * 1024;

interface Waiter {
  readonly sizeBytes: number;
  admit(): void;
}

export class BytesInFlight {
  readonly #maxBytes: number;
  #bytes = 0;
  /** Of them, those that were asked for. */
  #reserved = 0;
  readonly #waiting: Waiter[] = [];

  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Whether another request may be started. */
  get hasRoom(): boolean {
    return this.#bytes < this.#maxBytes && this.#waiting.length === 0;
  }

  add(sizeBytes: number): void {
    this.#bytes += sizeBytes;
  }

  /** Takes bytes away again, `reserved` of which had been asked for. */
  remove(sizeBytes: number, reserved: number): void {
    this.#bytes -= sizeBytes;
    this.#reserved -= reserved;
    this.#admit();
  }

  /**
   * Resolves when the bytes are counted as reserved: in the order of asking, and at once when nothing
   * else is reserved, however many they are.
   */
  reserve(sizeBytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ sizeBytes, admit: resolve });
      this.#admit();
    });
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const fits = this.#bytes + next.sizeBytes <= this.#maxBytes;
      if (!fits && this.#reserved > 0) return;
      this.#waiting.shift();
      this.#bytes += next.sizeBytes;
      this.#reserved += next.sizeBytes;
      next.admit();
    }
  }
}
