// A worker's part in the turns on one upstream: what it asked for, and what it was told last.

import type { SharedTurn } from "../lanes/exclusive-use.ts";
import type { TurnNotice, TurnOrder } from "./messages.ts";

export class WorkerTurn implements SharedTurn {
  readonly #upstream: string;
  readonly #tell: (notice: TurnNotice) => void;
  readonly #listeners: (() => void)[] = [];
  /** The turn for which this worker is to be empty. */
  #elsewhere: number | null = null;
  /** Another one after each that was given up: a grant may come late. */
  #claim = 0;
  #isOurs = false;

  constructor(upstream: string, tell: (notice: TurnNotice) => void) {
    this.#upstream = upstream;
    this.#tell = tell;
  }

  get isElsewhere(): boolean {
    return this.#elsewhere !== null;
  }

  get isOurs(): boolean {
    return this.#isOurs;
  }

  ask(): void {
    this.#tell({ kind: "claim", upstream: this.#upstream, claim: this.#claim });
  }

  giveUp(): void {
    this.#claim++;
    this.#isOurs = false;
    this.#tell({ kind: "give-up", upstream: this.#upstream });
  }

  ranEmpty(): void {
    if (this.#elsewhere === null) return;
    this.#tell({ kind: "empty", upstream: this.#upstream, turn: this.#elsewhere });
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** What the serving process says. */
  obey(order: TurnOrder): void {
    if (order.kind === "granted") {
      if (order.claim !== this.#claim) return;
      this.#isOurs = true;
    }
    this.#elsewhere = order.kind === "clear" ? order.turn : null;
    for (const listener of this.#listeners) listener();
  }
}
