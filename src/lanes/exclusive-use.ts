// Keeps the lanes of one upstream out of each other's way while a request must be the only one it
// has: a line that may have killed it is to be blamed only when no other could have.

import type { Lane } from "./lane.ts";

export class ExclusiveUse {
  readonly #lanes = new Set<Lane>();
  #inFlight = 0;
  /** The lane that has, or waits for, the upstream to itself. */
  #holder: Lane | null = null;

  join(lane: Lane): void {
    this.#lanes.add(lane);
  }

  /** Whether the lane may send: not while another one wants the upstream to itself. */
  admits(lane: Lane): boolean {
    return this.#holder === null || this.#holder === lane;
  }

  /** Asks for the upstream; true when it is idle now, else the others run empty first. */
  claim(lane: Lane): boolean {
    this.#holder ??= lane;
    return this.#holder === lane && this.#inFlight === 0;
  }

  /** The lane no longer wants the upstream to itself. Harmless when it never did. */
  giveUp(lane: Lane): void {
    if (this.#holder !== lane) return;
    this.#holder = null;
    for (const other of this.#lanes) if (other !== lane) other.pump();
  }

  begin(): void {
    this.#inFlight++;
  }

  end(): void {
    this.#inFlight--;
  }

  /** Lets the lane that waits have its turn, once the upstream is idle. */
  wakeHolder(): void {
    if (this.#inFlight === 0) this.#holder?.pump();
  }
}
