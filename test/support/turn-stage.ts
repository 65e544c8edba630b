// Processes that send to one upstream and take turns on it: two lanes each, with requests that stay in flight
// until the test ends them, and a check that whoever must be alone is.
import fc from "fast-check";
import { systemClock } from "../../src/core/clock.ts";
import type { Upstream } from "../../src/core/upstream.ts";
import { ExclusiveUse, type SharedTurn } from "../../src/lanes/exclusive-use.ts";
import { Lane, type LaneSource, type Permit } from "../../src/lanes/lane.ts";

export const UPSTREAM = "gpu";
const upstream = { name: UPSTREAM } as Upstream;

/** A lane's requests, which stay in flight until the test ends them. */
class Source implements LaneSource {
  readonly endpoint = "/v1/embeddings";
  readonly lane: Lane;
  readonly kind: "one" | "alone";
  readonly inFlight: Permit[] = [];
  readonly #onSend: (permit: Permit) => void;
  left: number;

  constructor(lane: Lane, kind: "one" | "alone", left: number, onSend: (permit: Permit) => void) {
    this.lane = lane;
    this.kind = kind;
    this.left = left;
    this.#onSend = onSend;
    lane.add(this);
  }

  ready(): "none" | "one" | "alone" {
    return this.left === 0 ? "none" : this.kind;
  }

  send(permit: Permit): number {
    this.#onSend(permit);
    this.left--;
    this.inFlight.push(permit);
    return 1;
  }
}

export interface Work {
  lane: number;
  kind: "one" | "alone";
  count: number;
}

export const anyWork = fc.array(
  fc.record({
    lane: fc.nat({ max: 1 }),
    kind: fc.constantFrom("one" as const, "alone" as const),
    count: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 3 },
);

/** The lanes of one process. */
export class SendingProcess {
  readonly sources: Source[] = [];
  readonly #lanes: Lane[];

  constructor(turn: SharedTurn) {
    const exclusiveUse = new ExclusiveUse(turn);
    this.#lanes = ["a", "b"].map(
      (model) =>
        new Lane({
          upstream,
          model,
          limit: { current: () => 2, isTrusted: true },
          exclusiveUse,
          clock: systemClock,
          onPause: () => undefined,
        }),
    );
  }

  work(work: readonly Work[], onSend: (permit: Permit) => void): void {
    for (const { lane, kind, count } of work) {
      this.sources.push(new Source(this.#lanes[lane]!, kind, count, onSend));
    }
  }

  get inFlight(): Permit[] {
    return this.sources.flatMap((source) => source.inFlight);
  }

  get isIdle(): boolean {
    return this.inFlight.length === 0 && this.sources.every(({ left }) => left === 0);
  }

  finishOne(pick: number): void {
    const busy = this.sources.filter(({ inFlight }) => inFlight.length > 0);
    const source = busy[pick % busy.length];
    source?.lane.finish(source.inFlight.pop()!, { kind: "success" });
  }

  /** A source is taken off its lane, which gives up what it asked for it, and comes back. */
  takeBack(pick: number): void {
    const source = this.sources[pick % this.sources.length]!;
    source.lane.remove(source);
    source.lane.add(source);
  }
}

/** Counts what is sent alone; throws when it is not. */
export class AloneCheck {
  sentAlone = 0;

  check(permit: Permit, processes: readonly SendingProcess[]): void {
    const others = processes.flatMap((process) => process.inFlight);
    if (others.some(({ alone }) => alone)) throw new Error("sent beside a request that is alone");
    if (!permit.alone) return;
    this.sentAlone++;
    if (others.length > 0) throw new Error(`not alone: ${others.length} others are in flight`);
  }
}
