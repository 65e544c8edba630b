// A lane with a clock that only the test moves, and sources that keep the permits of their requests.
import { afterEach, beforeEach, vi } from "vitest";
import { ExclusiveUse } from "../../src/lanes/exclusive-use.ts";
import { Lane, type LaneEffect, type LaneSource, type Permit } from "../../src/lanes/lane.ts";
import { HttpUpstream } from "../../src/upstream/http-upstream.ts";
import { FakeClock } from "./fake-clock.ts";

const success: LaneEffect = { kind: "success" };

let clock: FakeClock;

/** Has every test of the file begin with a clock of its own. */
export function useLaneClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    clock = new FakeClock();
  });
  afterEach(() => vi.useRealTimers());
}

/** Time goes by for the clock and for the timers alike, a millisecond at a time. */
export function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed++) {
    clock.pass(1);
    vi.advanceTimersByTime(1);
  }
}

export function laneOf(concurrency: number) {
  const limit = { now: concurrency };
  const pauses: [reason: string | null, before: string | null][] = [];
  const lane = new Lane({
    upstream: new HttpUpstream({
      name: "gpu",
      baseUrls: ["http://127.0.0.1:1/v1"],
      apiKey: null,
      models: ["m"],
      endpoints: [],
      attachments: "multipart",
      requestTimeoutMs: 1_000,
      answerSizeBytes: 1_000,
      clock,
    }),
    model: "m",
    exclusiveUse: new ExclusiveUse(),
    limit: { current: () => limit.now, isTrusted: true },
    clock,
    onPause: (reason, before) => pauses.push([reason, before]),
  });
  return { lane, limit, pauses };
}

/** Has requests to send, and keeps the permits of those under way. */
export class Source implements LaneSource {
  readonly permits: Permit[] = [];
  readonly name: string;
  readonly endpoint: string;
  waiting = 0;
  alone = false;
  sizeBytes = 10;
  sent: string[];

  constructor(name: string, sent: string[], endpoint = "/v1/embeddings") {
    this.name = name;
    this.sent = sent;
    this.endpoint = endpoint;
  }

  ready(): "none" | "one" | "alone" {
    if (this.waiting === 0) return "none";
    return this.alone ? "alone" : "one";
  }

  send(permit: Permit): number {
    this.waiting--;
    this.permits.push(permit);
    this.sent.push(this.name);
    return this.sizeBytes;
  }

  /** The oldest request under way has its outcome. */
  finish(effect: LaneEffect = success): void {
    const permit = this.permits.shift()!;
    permit.lane.finish(permit, effect);
  }
}

/** Sources with so many requests each, and the order in which they were sent. */
export function sourcesOf(waiting: Record<string, number>) {
  const sent: string[] = [];
  const sources = Object.entries(waiting).map(([name, count]) => {
    const source = new Source(name, sent);
    source.waiting = count;
    return source;
  });
  return { sources, sent };
}
