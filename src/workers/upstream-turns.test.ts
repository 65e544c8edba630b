// Turns on one upstream, from the lanes of several workers to the arbiter and back, over channels that
// deliver when they like; with workers that die at any moment. The seed is that of fast-check.
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../core/clock.ts";
import type { Upstream } from "../core/upstream.ts";
import { ExclusiveUse } from "../lanes/exclusive-use.ts";
import { Lane, type LaneSource, type Permit } from "../lanes/lane.ts";
import type { TurnNotice, TurnOrder } from "./messages.ts";
import { UpstreamTurns } from "./upstream-turns.ts";
import { WorkerTurn } from "./worker-turn.ts";

const UPSTREAM = "gpu";
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

/** Two lanes of one process, and its channel to the arbiter and back. */
class Worker {
  readonly toArbiter: TurnNotice[] = [];
  readonly fromArbiter: TurnOrder[] = [];
  readonly sources: Source[] = [];
  readonly #turn = new WorkerTurn(UPSTREAM, (notice) => this.toArbiter.push(notice));
  readonly #lanes: Lane[];

  constructor() {
    const exclusiveUse = new ExclusiveUse(this.#turn);
    this.#lanes = ["a", "b"].map(
      (model) =>
        new Lane({
          upstream,
          model,
          limit: { current: () => 2 },
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

  order(order: TurnOrder): void {
    this.fromArbiter.push(order);
  }

  get inFlight(): Permit[] {
    return this.sources.flatMap((source) => source.inFlight);
  }

  get isIdle(): boolean {
    return this.inFlight.length === 0 && this.sources.every(({ left }) => left === 0);
  }

  obeyNext(): void {
    const order = this.fromArbiter.shift();
    if (order) this.#turn.obey(order);
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

interface Work {
  lane: number;
  kind: "one" | "alone";
  count: number;
}

/** A server with workers, in which the test takes every step. */
class Stage {
  readonly #arbiter = new UpstreamTurns();
  workers: Worker[] = [];
  sentAlone = 0;

  start(work: readonly Work[]): void {
    const worker = new Worker();
    this.#arbiter.join(worker);
    // What it is told before its assignment comes before it.
    while (worker.fromArbiter.length > 0) worker.obeyNext();
    this.workers.push(worker);
    worker.work(work, (permit) => this.#check(permit));
  }

  #check(permit: Permit): void {
    const others = this.workers.flatMap((worker) => worker.inFlight);
    if (others.some(({ alone }) => alone)) throw new Error("sent beside a request that is alone");
    if (!permit.alone) return;
    this.sentAlone++;
    if (others.length > 0) throw new Error(`not alone: ${others.length} others are in flight`);
  }

  kill(worker: Worker): void {
    this.workers = this.workers.filter((other) => other !== worker);
    this.#arbiter.leave(worker);
  }

  deliver(worker: Worker): void {
    const notice = worker.toArbiter.shift();
    if (notice) this.#arbiter.notice(worker, notice);
  }

  /** Lets everything happen that can, until nothing is left to do. */
  finish(): void {
    for (let step = 0; step < 10_000 && this.workers.some(({ isIdle }) => !isIdle); step++) {
      for (const worker of this.workers) {
        this.deliver(worker);
        worker.obeyNext();
        worker.finishOne(step);
      }
    }
  }
}

const work = fc.array(
  fc.record({
    lane: fc.nat({ max: 1 }),
    kind: fc.constantFrom("one" as const, "alone" as const),
    count: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 3 },
);
const step = fc.record({
  worker: fc.nat({ max: 5 }),
  what: fc.constantFrom(
    "deliver",
    "obey",
    "finish",
    "obey",
    "finish",
    "deliver",
    "takeBack",
    "kill",
  ),
  pick: fc.nat({ max: 5 }),
  newWork: work,
});

test("a request that must be alone is, whatever comes late and whoever dies; and everything is sent", () => {
  let sentAlone = 0;
  fc.assert(
    fc.property(
      fc.array(work, { minLength: 2, maxLength: 4 }),
      fc.array(step, { maxLength: 200 }),
      (works, steps) => {
        const stage = new Stage();
        for (const each of works) stage.start(each);
        for (const { worker: at, what, pick, newWork } of steps) {
          const worker = stage.workers[at % stage.workers.length]!;
          if (what === "deliver") stage.deliver(worker);
          else if (what === "obey") worker.obeyNext();
          else if (what === "finish") worker.finishOne(pick);
          else if (what === "takeBack") worker.takeBack(pick);
          else {
            stage.kill(worker);
            stage.start(newWork);
          }
        }
        stage.finish();
        expect(stage.workers.filter(({ isIdle }) => !isIdle)).toEqual([]);
        sentAlone += stage.sentAlone;
      },
    ),
    { numRuns: 500 },
  );
  expect(sentAlone).toBeGreaterThan(1_000);
});

/** Lets all that was said be heard. */
function settle(stage: Stage): void {
  for (let round = 0; round < 5; round++) {
    for (const worker of stage.workers) {
      stage.deliver(worker);
      worker.obeyNext();
    }
  }
}

const inFlightOf = ({ workers }: Stage) => workers.map(({ inFlight }) => inFlight.length);

test("workers have their turns in the order of asking", () => {
  const stage = new Stage();
  for (const lane of [0, 1]) stage.start([{ lane, kind: "alone", count: 2 }]);
  const seen: number[][] = [];
  for (settle(stage); inFlightOf(stage).includes(1); settle(stage)) {
    seen.push(inFlightOf(stage));
    stage.workers.find(({ inFlight }) => inFlight.length > 0)?.finishOne(0);
  }
  expect(seen).toEqual([
    [1, 0],
    [0, 1],
    [1, 0],
    [0, 1],
  ]);
});

test("the others go on between two turns of one", () => {
  const stage = new Stage();
  stage.start([{ lane: 0, kind: "one", count: 4 }]);
  stage.start([{ lane: 0, kind: "alone", count: 2 }]);
  const [crowd, solitary] = stage.workers as [Worker, Worker];
  const seen: number[][] = [];
  for (settle(stage); !crowd.isIdle || !solitary.isIdle; settle(stage)) {
    seen.push(inFlightOf(stage));
    for (const worker of stage.workers) {
      for (let left = worker.inFlight.length; left > 0; left--) worker.finishOne(0);
    }
  }
  expect(seen).toEqual([
    [2, 0],
    [0, 1],
    [2, 0],
    [0, 1],
  ]);
});

test.each(["asks again", "does not"])(
  "a grant for what was given up is none, whether it %s",
  (then) => {
    const stage = new Stage();
    stage.start([{ lane: 0, kind: "one", count: 4 }]);
    stage.start([{ lane: 0, kind: "alone", count: 1 }]);
    const [crowd, solitary] = stage.workers as [Worker, Worker];
    stage.deliver(solitary);
    crowd.obeyNext();
    for (const pick of [0, 0]) crowd.finishOne(pick);
    stage.deliver(crowd);
    if (then === "asks again") solitary.takeBack(0);
    else solitary.sources[0]!.lane.remove(solitary.sources[0]!);
    solitary.obeyNext();
    expect(solitary.inFlight).toEqual([]);
    settle(stage);
    expect(crowd.inFlight).toHaveLength(2);
    if (then !== "asks again") solitary.sources[0]!.lane.add(solitary.sources[0]!);
    stage.finish();
    expect(stage.workers.map(({ isIdle }) => isIdle)).toEqual([true, true]);
  },
);
