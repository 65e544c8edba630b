// Two models of one upstream, one of which has requests that must be the only ones the upstream has.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../core/clock.ts";
import type { Upstream } from "../core/upstream.ts";
import { createLog } from "../observability/log.ts";
import { createMetrics } from "../observability/metrics.ts";
import type { Lane, LaneEffect, LaneSource, Permit } from "./lane.ts";
import { Lanes, wholeLimit } from "./lanes.ts";

const ENDPOINT = "/v1/embeddings";
const success: LaneEffect = { kind: "success" };
const hold: LaneEffect = { kind: "hold", scope: "lane", reason: "down", retryAfterMs: 1_000 };

const upstreamOf = (name: string): Upstream => ({
  name,
  endpoints: [ENDPOINT],
  attachments: "multipart",
  holdAnswers: () => expect.fail("a lane reads no answers"),
  configuredModels: ["a", "b", "c"],
  send: () => expect.fail("a lane sends only through its sources"),
  discover: () => expect.fail("a lane does not ask for models"),
  close: () => Promise.resolve(),
});

let lanes: Lanes;
/** The lanes of the upstream "gpu". */
let a: Lane;
let b: Lane;
let c: Lane;
/** Model "a" of another upstream. */
let elsewhere: Lane;

beforeEach(() => {
  vi.useFakeTimers();
  lanes = new Lanes({
    share: wholeLimit,
    upstreams: ["gpu", "other"].map((name) => ({ upstream: upstreamOf(name), concurrency: 2 })),
    modelAliases: {},
    models: { all: () => Promise.resolve(new Map()), save: () => Promise.resolve() },
    clock: systemClock,
    log: createLog("error", { write: () => undefined }),
    metrics: createMetrics(null),
  });
  [a, elsewhere] = lanes.lanesFor(ENDPOINT, "a") as [Lane, Lane];
  [b] = lanes.lanesFor(ENDPOINT, "b") as [Lane];
  [c] = lanes.lanesFor(ENDPOINT, "c") as [Lane];
});

afterEach(() => {
  lanes.close();
  vi.useRealTimers();
});

/** Requests that stay in flight until the test ends them. */
class Source implements LaneSource {
  readonly endpoint = ENDPOINT;
  readonly lane: Lane;
  readonly #kind: "one" | "alone";
  readonly #inFlight: Permit[] = [];
  left: number;

  constructor(lane: Lane, left: number, kind: "one" | "alone" = "one") {
    this.lane = lane;
    this.left = left;
    this.#kind = kind;
    lane.add(this);
  }

  get inFlight(): number {
    return this.#inFlight.length;
  }

  ready(): "none" | "one" | "alone" {
    return this.left === 0 ? "none" : this.#kind;
  }

  send(permit: Permit): number {
    const others = a.inFlight + b.inFlight + c.inFlight - 1;
    if (permit.alone && others > 0) throw new Error(`not alone: ${others} others are in flight`);
    this.left--;
    this.#inFlight.push(permit);
    return 10;
  }

  /** Its newest request has its outcome. */
  finish(effect: LaneEffect = success): void {
    this.lane.finish(this.#inFlight.pop()!, effect);
  }
}

const inFlightOf = (...sources: Source[]) => sources.map(({ inFlight }) => inFlight);

test("a request that must be alone waits for those of other models; they are held, and go on afterwards", () => {
  const crowd = new Source(b, 10);
  const solitary = new Source(a, 1, "alone");
  expect(inFlightOf(crowd, solitary)).toEqual([2, 0]);
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([1, 0]);
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([0, 1]);
  const late = new Source(c, 1);
  expect(inFlightOf(crowd, late)).toEqual([0, 0]);
  solitary.finish();
  expect(inFlightOf(crowd, solitary, late)).toEqual([2, 0, 1]);
});

test("other models go on between two requests that must be alone", () => {
  const crowd = new Source(b, 4);
  const solitary = new Source(a, 2, "alone");
  crowd.finish();
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([0, 1]);
  solitary.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([2, 0]);
  crowd.finish();
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([0, 1]);
});

test("another upstream is not held", () => {
  const crowd = new Source(elsewhere, 10);
  const solitary = new Source(a, 1, "alone");
  expect(inFlightOf(crowd, solitary)).toEqual([2, 1]);
  crowd.finish();
  expect(inFlightOf(crowd)).toEqual([2]);
});

test("a lane that is paused while it waits gives way, and has its turn after the pause", () => {
  const crowd = new Source(b, 10);
  const own = new Source(a, 1);
  const solitary = new Source(a, 1, "alone");
  crowd.finish();
  expect(inFlightOf(crowd, own, solitary)).toEqual([1, 1, 0]);
  own.finish(hold);
  expect(inFlightOf(crowd, own, solitary)).toEqual([2, 0, 0]);
  vi.advanceTimersByTime(1_000);
  crowd.finish();
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([0, 1]);
});

test("a lane whose request is taken back while it waits gives way", () => {
  const crowd = new Source(b, 10);
  const solitary = new Source(a, 1, "alone");
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([1, 0]);
  a.remove(solitary);
  expect(inFlightOf(crowd)).toEqual([2]);
});

test("a lane whose request is no longer ready when its turn comes gives way", () => {
  const crowd = new Source(b, 10);
  const solitary = new Source(a, 1, "alone");
  crowd.finish();
  solitary.left = 0;
  crowd.finish();
  expect(inFlightOf(crowd, solitary)).toEqual([2, 0]);
});

test("requests of two lanes that must be alone have their turns one after the other", () => {
  const crowd = new Source(c, 3);
  const [one, other] = [new Source(a, 2, "alone"), new Source(b, 2, "alone")];
  crowd.finish();
  crowd.finish();
  const seen: string[] = [];
  for (const source = () => [one, other, crowd].find(({ inFlight }) => inFlight > 0); source();) {
    const running = source()!;
    seen.push(running === crowd ? "crowd" : "alone");
    running.finish();
  }
  expect(seen.toSorted()).toEqual(["alone", "alone", "alone", "alone", "crowd"]);
  expect([one, other, crowd].map(({ left }) => left)).toEqual([0, 0, 0]);
});

test("a lane that is paused by its own lonely request does not hold the others", () => {
  const solitary = new Source(a, 2, "alone");
  const crowd = new Source(b, 3);
  expect(inFlightOf(solitary, crowd)).toEqual([1, 0]);
  solitary.finish(hold);
  expect(inFlightOf(solitary, crowd)).toEqual([0, 2]);
  crowd.finish();
  expect(inFlightOf(solitary, crowd)).toEqual([0, 2]);
  vi.advanceTimersByTime(1_000);
  crowd.finish();
  crowd.finish();
  expect(inFlightOf(solitary, crowd)).toEqual([1, 0]);
});
