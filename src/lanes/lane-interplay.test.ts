// A lane at odd moments: sources that leave, requests that must be alone, and pauses, all at once.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../core/clock.ts";
import type { Upstream } from "../core/upstream.ts";
import { ExclusiveUse } from "./exclusive-use.ts";
import { Lane, TURN_MS, type LaneEffect, type LaneSource, type Permit } from "./lane.ts";

/** A source with a number of requests, which stay in flight until the test ends them. */
class Source implements LaneSource {
  readonly endpoint: string;
  readonly sent: Permit[] = [];
  left: number;
  isSolitary = false;
  onSend: (permit: Permit) => void = () => undefined;

  constructor(left: number, endpoint = "/v1/embeddings") {
    this.left = left;
    this.endpoint = endpoint;
  }

  ready(): "none" | "one" | "alone" {
    if (this.left === 0) return "none";
    return this.isSolitary ? "alone" : "one";
  }

  send(permit: Permit): number {
    this.left--;
    this.sent.push(permit);
    this.onSend(permit);
    return 10;
  }

  /** Its newest request has its outcome. */
  finish(effect: LaneEffect = { kind: "success" }): void {
    const permit = this.sent.pop();
    if (!permit) throw new Error("nothing in flight");
    permit.lane.finish(permit, effect);
  }
}

function hold(reason: string, scope: "lane" | "endpoint" = "lane"): LaneEffect {
  return { kind: "hold", scope, reason, retryAfterMs: 1_000 };
}

const upstream: Upstream = {
  name: "gpu",
  endpoints: ["/v1/embeddings", "/v1/completions"],
  attachments: "multipart",
  holdAnswers: () => expect.fail("a lane reads no answers"),
  configuredModels: ["m"],
  send: () => expect.fail("a lane sends only through its sources"),
  discover: () => expect.fail("a lane does not ask for models"),
  close: () => Promise.resolve(),
};

let limit: number;
let pauses: [reason: string | null, before: string | null][];
let lane: Lane;

beforeEach(() => {
  vi.useFakeTimers();
  limit = 4;
  pauses = [];
  lane = new Lane({
    upstream,
    model: "m",
    exclusiveUse: new ExclusiveUse(),
    limit: { current: () => limit, isTrusted: true },
    clock: systemClock,
    onPause: (...change) => pauses.push(change),
  });
});

afterEach(() => {
  lane.close();
  if (vi.getTimerCount() > 0) throw new Error("a timer is left");
  vi.useRealTimers();
});

function added(left: number, endpoint?: string): Source {
  const source = new Source(left, endpoint);
  lane.add(source);
  return source;
}

test("a source may remove itself while it sends; the others keep their turns", () => {
  limit = 0;
  const leaving = added(10);
  const others = [added(10), added(10)];
  leaving.onSend = () => lane.remove(leaving);
  for (const source of others) source.onSend = () => vi.advanceTimersByTime(TURN_MS);
  limit = 5;
  lane.pump();
  expect([leaving, ...others].map(({ sent }) => sent.length)).toEqual([1, 2, 2]);
});

test("outcomes that come while sending are neither nested nor above the limit", () => {
  let depth = 0;
  let deepest = 0;
  const source = new Source(20_000);
  source.onSend = () => {
    deepest = Math.max(deepest, ++depth, lane.inFlight);
    source.finish();
    depth--;
  };
  lane.add(source);
  expect([source.left, lane.inFlight, deepest]).toEqual([0, 0, 1]);
});

test("an outcome that comes while sending can hold the lane at once", () => {
  const source = new Source(10);
  source.onSend = () => source.finish(hold("down"));
  lane.add(source);
  expect([source.left, lane.inFlight]).toEqual([9, 0]);
  vi.advanceTimersByTime(1_000);
  expect(source.left).toBe(8);
});

test("a lane that drains for one request goes on when that is taken back", () => {
  const crowd = added(6);
  const solitary = added(1);
  solitary.isSolitary = true;
  vi.advanceTimersByTime(TURN_MS);
  crowd.finish();
  expect(lane.inFlight).toBe(3);
  lane.remove(solitary);
  crowd.finish();
  expect(crowd.sent).toHaveLength(4);
});

test("a lane does not drain for a request that is held back at its endpoint", () => {
  const solitary = added(2, "/v1/completions");
  solitary.isSolitary = true;
  solitary.finish(hold("404", "endpoint"));
  const others = added(10);
  expect([solitary.sent.length, others.sent.length]).toEqual([1, 3]);
});

test("a reason is told once, however many requests bring it", () => {
  const source = added(20);
  source.finish(hold("busy"));
  source.finish(hold("late"));
  vi.advanceTimersByTime(1_000);
  source.finish(hold("busy"));
  vi.advanceTimersByTime(1_000);
  source.finish(hold("gone"));
  vi.advanceTimersByTime(1_000);
  source.finish();
  source.finish();
  expect(pauses).toEqual([
    ["busy", null],
    ["gone", "busy"],
    [null, "gone"],
  ]);
});

test("a source that comes in the middle of a pause is served at its end", () => {
  const first = added(1);
  first.finish(hold("busy"));
  lane.remove(first);
  vi.advanceTimersByTime(600);
  const late = added(3);
  vi.advanceTimersByTime(399);
  expect(late.sent).toHaveLength(0);
  vi.advanceTimersByTime(1);
  expect(late.sent).toHaveLength(1);
});

test("an endpoint's probe is free again when the lane is held instead", () => {
  limit = 2;
  const source = added(10);
  source.finish(hold("404", "endpoint"));
  source.finish();
  vi.advanceTimersByTime(1_000);
  source.finish(hold("down"));
  vi.advanceTimersByTime(1_000);
  expect(source.sent).toHaveLength(1);
  source.finish();
  expect([lane.reason, lane.inFlight]).toEqual([null, 2]);
});
