// Keeps the lanes of one upstream out of each other's way while a request must be the only one it
// has: a line that may have killed it is to be blamed only when no other could have. Where other
// processes send to the upstream too, they are asked first.

import type { Lane } from "./lane.ts";

/** This process's part in the turns that several processes take on an upstream. */
export interface SharedTurn {
  /** Another process has the upstream to itself, or waits for that. */
  readonly isElsewhere: boolean;
  /** No other process has anything in flight, nor will have until the turn is given up. */
  readonly isOurs: boolean;
  ask(): void;
  giveUp(): void;
  /** Nothing is in flight here while the turn is elsewhere. */
  ranEmpty(): void;
  /** Calls `listener` when the turn has come, has gone elsewhere, or is over. */
  onChange(listener: () => void): void;
}

export class ExclusiveUse {
  readonly #lanes = new Set<Lane>();
  readonly #turn: SharedTurn | null;
  #inFlight = 0;
  /** The lane that has, or waits for, the upstream to itself. */
  #holder: Lane | null = null;

  constructor(turn: SharedTurn | null = null) {
    this.#turn = turn;
    turn?.onChange(() => this.#onTurn(turn));
  }

  join(lane: Lane): void {
    this.#lanes.add(lane);
  }

  /** Whether the lane may send: not while another one wants the upstream to itself. */
  admits(lane: Lane): boolean {
    if (this.#turn?.isElsewhere) return false;
    return this.#holder === null || this.#holder === lane;
  }

  /** Asks for the upstream; true when it is idle now, else the others run empty first. */
  claim(lane: Lane): boolean {
    if (this.#holder === null) {
      this.#holder = lane;
      this.#turn?.ask();
    }
    const isOurs = this.#turn === null || this.#turn.isOurs;
    return this.#holder === lane && this.#inFlight === 0 && isOurs;
  }

  /** The lane no longer wants the upstream to itself. Harmless when it never did. */
  giveUp(lane: Lane): void {
    if (this.#holder !== lane) return;
    this.#holder = null;
    this.#turn?.giveUp();
    for (const other of this.#lanes) if (other !== lane) other.pump();
  }

  begin(): void {
    this.#inFlight++;
  }

  end(): void {
    this.#inFlight--;
    if (this.#inFlight === 0 && this.#turn?.isElsewhere) this.#turn.ranEmpty();
  }

  /** Lets the lane that waits have its turn, once the upstream is idle. */
  wakeHolder(): void {
    if (this.#inFlight === 0) this.#holder?.pump();
  }

  #onTurn(turn: SharedTurn): void {
    if (!turn.isElsewhere) for (const lane of this.#lanes) lane.pump();
    else if (this.#inFlight === 0) turn.ranEmpty();
  }
}
