// Who has an upstream to itself, among workers that all send to it. One at a time, in the order of
// asking; its turn comes when all others have run empty. The death of a worker frees what it had.

import type { TurnNotice, TurnOrder } from "./messages.ts";

/** A worker, as far as it takes turns. */
export interface TurnTaker {
  order(order: TurnOrder): void;
}

interface Turns {
  /** Those that want the upstream, each with its claim: the first has it, or waits for the others. */
  readonly queue: { taker: TurnTaker; claim: number }[];
  /** Those that may have requests in flight still. */
  readonly busy: Set<TurnTaker>;
  /** Of the turn under way: an older one may still be answered. */
  turn: number;
}

export class UpstreamTurns {
  readonly #takers = new Set<TurnTaker>();
  readonly #upstreams = new Map<string, Turns>();

  /** Call before the worker can send: it learns which upstreams are not its own now. */
  join(taker: TurnTaker): void {
    this.#takers.add(taker);
    for (const [upstream, { queue, turn }] of this.#upstreams) {
      if (queue.length > 0) taker.order({ kind: "clear", upstream, turn });
    }
  }

  /** The worker is dead, or has stopped sending. */
  leave(taker: TurnTaker): void {
    this.#takers.delete(taker);
    for (const [upstream, turns] of this.#upstreams) {
      this.#withdraw(taker, upstream, turns);
      this.#emptied(taker, upstream, turns);
    }
  }

  notice(taker: TurnTaker, notice: TurnNotice): void {
    const { upstream } = notice;
    const turns = this.#turnsOf(upstream);
    switch (notice.kind) {
      case "claim":
        turns.queue.push({ taker, claim: notice.claim });
        if (turns.queue.length === 1) this.#begin(upstream, turns);
        return;
      case "give-up":
        this.#withdraw(taker, upstream, turns);
        return;
      case "empty":
        if (notice.turn === turns.turn) this.#emptied(taker, upstream, turns);
        return;
    }
  }

  #turnsOf(upstream: string): Turns {
    let turns = this.#upstreams.get(upstream);
    if (!turns) {
      turns = { queue: [], busy: new Set(), turn: 0 };
      this.#upstreams.set(upstream, turns);
    }
    return turns;
  }

  #begin(upstream: string, turns: Turns): void {
    turns.turn++;
    turns.busy.clear();
    for (const taker of this.#takers) {
      if (taker === turns.queue[0]?.taker) continue;
      turns.busy.add(taker);
      taker.order({ kind: "clear", upstream, turn: turns.turn });
    }
    this.#grantWhenEmpty(upstream, turns);
  }

  #emptied(taker: TurnTaker, upstream: string, turns: Turns): void {
    if (turns.busy.delete(taker)) this.#grantWhenEmpty(upstream, turns);
  }

  #grantWhenEmpty(upstream: string, { queue, busy }: Turns): void {
    const [first] = queue;
    if (first && busy.size === 0) {
      first.taker.order({ kind: "granted", upstream, claim: first.claim });
    }
  }

  #withdraw(taker: TurnTaker, upstream: string, turns: Turns): void {
    const at = turns.queue.findIndex((waiting) => waiting.taker === taker);
    if (at < 0) return;
    turns.queue.splice(at, 1);
    if (at > 0) return;
    if (turns.queue.length > 0) {
      this.#begin(upstream, turns);
      return;
    }
    turns.busy.clear();
    for (const other of this.#takers) other.order({ kind: "go-on", upstream });
  }
}
