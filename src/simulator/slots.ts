// How many requests run at once, and who waits: like an inference server's running set and its waiting queue.
// First come, first served; a request that leaves while waiting is forgotten at once.

/** One request's place: outside, then waiting or running, then outside again. */
export class Place {
  state: "outside" | "waiting" | "running" = "outside";
  readonly onTurn: () => void;
  previous: Place | undefined;
  next: Place | undefined;

  /** `onTurn` is called when a place that had to wait begins to run. */
  constructor(onTurn: () => void) {
    this.onTurn = onTurn;
  }
}

export class Slots {
  running = 0;
  waiting = 0;
  peakRunning = 0;
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  #first: Place | undefined;
  #last: Place | undefined;

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
  }

  /** "running": the caller goes on itself; "waiting": `onTurn` will be called; "full": nothing happened. */
  enter(place: Place): "running" | "waiting" | "full" {
    if (this.running < this.#maxRunning) {
      this.#run(place);
      return "running";
    }
    if (this.waiting >= this.#maxWaiting) return "full";
    place.state = "waiting";
    place.previous = this.#last;
    if (this.#last === undefined) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.waiting++;
    return "waiting";
  }

  /** Frees the place, whether it waited or ran, and gives the next one its turn; a second call does nothing. */
  leave(place: Place): void {
    if (place.state === "waiting") this.#unlink(place);
    else if (place.state === "running") this.running--;
    place.state = "outside";
    const next = this.#first;
    if (next === undefined || this.running >= this.#maxRunning) return;
    this.#unlink(next);
    this.#run(next);
    next.onTurn();
  }

  /** Forgets the peak, except for what runs now. */
  resetPeak(): void {
    this.peakRunning = this.running;
  }

  #run(place: Place): void {
    place.state = "running";
    this.running++;
    if (this.running > this.peakRunning) this.peakRunning = this.running;
  }

  #unlink(place: Place): void {
    if (place.previous === undefined) this.#first = place.next;
    else place.previous.next = place.next;
    if (place.next === undefined) this.#last = place.previous;
    else place.next.previous = place.previous;
    place.previous = undefined;
    place.next = undefined;
    this.waiting--;
  }
}
