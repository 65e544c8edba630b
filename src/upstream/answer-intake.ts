// Bounds the memory of answers that are being received from one upstream: beyond the bound only the oldest
// is read on, and none while what was received before can't be stored as fast. The others wait in their
// connections.

/** A call whose answer is arriving. */
export interface Receiving {
  pause(): void;
  resume(): void;
}

const MAX_BYTES = 64 * 1024 * 1024;

export class AnswerIntake {
  readonly #maxBytes: number;
  #bytes = 0;
  #holds = 0;
  /** In the order in which their answers began. */
  readonly #receiving: Receiving[] = [];
  readonly #paused = new Set<Receiving>();

  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** The call's answer arrives; `end` must follow. */
  begin(call: Receiving): void {
    this.#receiving.push(call);
  }

  /** So many bytes of the call's answer have arrived; it may be paused for that. */
  take(call: Receiving, sizeBytes: number): void {
    this.#bytes += sizeBytes;
    const mayGoOn =
      this.#holds === 0 && (this.#bytes <= this.#maxBytes || call === this.#receiving[0]);
    if (mayGoOn) return;
    this.#paused.add(call);
    call.pause();
  }

  /** The call is over, and its answer, of which this much had arrived, is somebody else's. */
  end(call: Receiving, sizeBytes: number): void {
    this.#bytes -= sizeBytes;
    // Most answers are over as soon as they begin, and stand last.
    this.#receiving.splice(this.#receiving.lastIndexOf(call), 1);
    this.#paused.delete(call);
    this.#goOn();
  }

  /** Nothing is read on until every function that was given here has been called, once or more. */
  hold(): () => void {
    let isHeld = true;
    this.#holds++;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds--;
      this.#goOn();
    };
  }

  #goOn(): void {
    if (this.#holds > 0 || this.#paused.size === 0) return;
    if (this.#bytes > this.#maxBytes) {
      this.#resume(this.#receiving[0]);
      return;
    }
    for (const paused of this.#paused) this.#resume(paused);
  }

  #resume(call: Receiving | undefined): void {
    // Undici can't go on with one answer from within a callback of another.
    if (call && this.#paused.delete(call)) queueMicrotask(() => call.resume());
  }
}
