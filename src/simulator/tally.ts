// Counts of requests and answers. At any time requests = answered + unanswered + in flight.

export class Tally {
  requests = 0;
  /** Answers handed to the socket in full, whatever their status. */
  answered = 0;
  /** Requests that ended without a full answer: cut, crashed, or given up by the client. */
  unanswered = 0;
  inFlight = 0;
  peakInFlight = 0;
  #serial = 0;
  readonly #byStatus = new Map<number, number>();

  /** Counts an arriving request; returns a number no other request of this simulator gets, even after a reset. */
  received(): number {
    this.requests++;
    this.inFlight++;
    if (this.inFlight > this.peakInFlight) this.peakInFlight = this.inFlight;
    return ++this.#serial;
  }

  /** Counts the end of a request: answered in full with a status, or not (undefined). */
  ended(status: number | undefined): void {
    this.inFlight--;
    if (status === undefined) {
      this.unanswered++;
      return;
    }
    this.answered++;
    this.#byStatus.set(status, (this.#byStatus.get(status) ?? 0) + 1);
  }

  byStatus(): Record<string, number> {
    return Object.fromEntries(this.#byStatus);
  }

  /** Starts over; requests in flight stay counted as received. */
  reset(): void {
    this.requests = this.inFlight;
    this.peakInFlight = this.inFlight;
    this.answered = 0;
    this.unanswered = 0;
    this.#byStatus.clear();
  }
}
