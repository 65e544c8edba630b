// Turns on one upstream, from the lanes of several workers to the arbiter and back, over channels that
// deliver when they like; with workers that die at any moment. The seed is that of fast-check.
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  AloneCheck,
  SendingProcess,
  UPSTREAM,
  type Work,
  anyWork,
} from "../../test/support/turn-stage.ts";
import type { TurnNotice, TurnOrder } from "./messages.ts";
import { UpstreamTurns } from "./upstream-turns.ts";
import { WorkerTurn } from "./worker-turn.ts";

/** A process, and its channel to the arbiter and back. */
class Worker extends SendingProcess {
  readonly toArbiter: TurnNotice[];
  readonly fromArbiter: TurnOrder[] = [];
  readonly #turn: WorkerTurn;

  constructor() {
    const toArbiter: TurnNotice[] = [];
    const turn = new WorkerTurn(UPSTREAM, (notice) => toArbiter.push(notice));
    super(turn);
    this.toArbiter = toArbiter;
    this.#turn = turn;
  }

  order(order: TurnOrder): void {
    this.fromArbiter.push(order);
  }

  obeyNext(): void {
    const order = this.fromArbiter.shift();
    if (order) this.#turn.obey(order);
  }
}

/** A server with workers, in which the test takes every step. */
class Stage {
  readonly #arbiter = new UpstreamTurns();
  workers: Worker[] = [];
  readonly #alone = new AloneCheck();

  get sentAlone(): number {
    return this.#alone.sentAlone;
  }

  start(work: readonly Work[]): void {
    const worker = new Worker();
    this.#arbiter.join(worker);
    // What it is told before its assignment comes before it.
    while (worker.fromArbiter.length > 0) worker.obeyNext();
    this.workers.push(worker);
    worker.work(work, (permit) => this.#alone.check(permit, this.workers));
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
  newWork: anyWork,
});

test("a request that must be alone is, whatever comes late and whoever dies; and everything is sent", () => {
  let sentAlone = 0;
  fc.assert(
    fc.property(
      fc.array(anyWork, { minLength: 2, maxLength: 4 }),
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
