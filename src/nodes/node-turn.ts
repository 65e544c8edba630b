// A node's part in the turns on one upstream, agreed with the others through beats. Who wants the upstream to
// itself says so, under a new name for each turn; the node with the lowest id comes first; it has its turn once
// every other node that runs batches has said that it keeps the upstream empty for it. A node that has said so
// never has a turn of its own meanwhile.

import { type NodeBeat, runsBatches } from "../core/node-store.ts";

export interface NodeTurnOptions {
  /** This node. */
  id: string;
  /** Whether what was learnt last can still be relied on. */
  isTrusted: () => boolean;
  /** What this node says of its turn has changed. */
  onSaid: () => void;
  /** False: this node never sends to the upstream, which another one has in its configuration. */
  isUsed: boolean;
}

export class NodeTurn {
  readonly #options: NodeTurnOptions;
  readonly #listeners: (() => void)[] = [];
  #asked = 0;
  #wanted: string | null = null;
  #isGranted = false;
  /** The turn that another node has, or that comes before this node's. */
  #elsewhere: string | null = null;
  #isEmpty = false;

  constructor(options: NodeTurnOptions) {
    this.#options = options;
  }

  get isElsewhere(): boolean {
    return this.#elsewhere !== null;
  }

  get isOurs(): boolean {
    return this.#isGranted && this.#options.isTrusted();
  }

  /** The turn that this node has or waits for. */
  get wanted(): string | null {
    return this.#wanted;
  }

  /** The turn for which this node keeps the upstream empty. */
  get emptyFor(): string | null {
    return this.#isEmpty ? this.#elsewhere : null;
  }

  ask(): void {
    this.#asked++;
    this.#wanted = `${this.#options.id} ${this.#asked}`;
    this.#options.onSaid();
  }

  giveUp(): void {
    if (this.#wanted === null) return;
    this.#wanted = null;
    this.#isGranted = false;
    this.#options.onSaid();
  }

  /** Nothing is in flight here while the turn is elsewhere. */
  ranEmpty(): void {
    if (this.#elsewhere === null || this.#isEmpty) return;
    this.#isEmpty = true;
    this.#options.onSaid();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Takes in what all living nodes, this one among them, last said. */
  learn(upstream: string, living: readonly NodeBeat[]): void {
    const { id, isUsed } = this.#options;
    const wanted = this.#wanted;
    const others = living.filter((node) => node.id !== id);
    const [first] = others
      .filter(({ wantsAlone }) => upstream in wantsAlone)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const isFirst = this.#isGranted || !first || (wanted !== null && id < first.id);
    const elsewhere = isFirst ? null : (first.wantsAlone[upstream] ?? null);
    const isGranted =
      wanted !== null &&
      elsewhere === null &&
      // An answer to a beat from before it asked says nothing of who has come since.
      living.some((node) => node.id === id && node.wantsAlone[upstream] === wanted) &&
      others.every(({ role, emptyFor }) => !runsBatches(role) || emptyFor[upstream] === wanted);
    if (elsewhere === this.#elsewhere && isGranted === this.#isGranted) return;
    if (elsewhere !== this.#elsewhere) this.#isEmpty = false;
    this.#elsewhere = elsewhere;
    this.#isGranted = isGranted;
    if (!isUsed) this.ranEmpty();
    for (const listener of this.#listeners) listener();
  }
}
