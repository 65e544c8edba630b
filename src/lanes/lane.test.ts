import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { HttpUpstream } from "../upstream/http-upstream.ts";
import { ExclusiveUse } from "./exclusive-use.ts";
import { Lane, TURN_MS, type LaneEffect, type LaneSource, type Permit } from "./lane.ts";

const success: LaneEffect = { kind: "success" };
const nothing: LaneEffect = { kind: "nothing" };
const hold = (reason: string, about: { scope?: "lane" | "endpoint"; retryAfterMs?: number } = {}) =>
  ({
    kind: "hold",
    reason,
    scope: about.scope ?? "lane",
    retryAfterMs: about.retryAfterMs ?? 1_000,
  }) satisfies LaneEffect;

let clock: FakeClock;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  clock = new FakeClock();
});
afterEach(() => vi.useRealTimers());

/** Time goes by for the clock and for the timers alike, a millisecond at a time. */
function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed++) {
    clock.pass(1);
    vi.advanceTimersByTime(1);
  }
}

function laneOf(concurrency: number) {
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
    limit: { current: () => limit.now },
    clock,
    onPause: (reason, before) => pauses.push([reason, before]),
  });
  return { lane, limit, pauses };
}

/** Has requests to send, and keeps the permits of those under way. */
class Source implements LaneSource {
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
function sourcesOf(waiting: Record<string, number>) {
  const sent: string[] = [];
  const sources = Object.entries(waiting).map(([name, count]) => {
    const source = new Source(name, sent);
    source.waiting = count;
    return source;
  });
  return { sources, sent };
}

describe("concurrency", () => {
  test("fills up to the limit, and refills with each completion", () => {
    const { lane } = laneOf(3);
    const { sources, sent } = sourcesOf({ a: 5 });
    const [a] = sources as [Source];
    lane.add(a);
    expect([lane.inFlight, sent.length]).toEqual([3, 3]);
    a.finish();
    expect([lane.inFlight, sent.length]).toEqual([3, 4]);
    while (a.permits.length > 0) {
      expect(lane.inFlight).toBeLessThanOrEqual(3);
      a.finish();
    }
    expect([lane.inFlight, sent.length]).toEqual([0, 5]);
  });

  test("follows a limit that moves", () => {
    const { lane, limit } = laneOf(4);
    const { sources } = sourcesOf({ a: 100 });
    const [a] = sources as [Source];
    lane.add(a);
    limit.now = 2;
    a.finish();
    a.finish();
    expect(lane.inFlight).toBe(2);
    a.finish();
    expect(lane.inFlight).toBe(2);
    limit.now = 5;
    a.finish();
    expect([lane.inFlight, lane.concurrency]).toEqual([5, 5]);
  });

  test("sources are served in turn, and those that have nothing cost nobody's turn", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 3, b: 0, c: 2, d: 1 });
    for (const source of sources) lane.add(source);
    while (lane.inFlight > 0) {
      pass(TURN_MS);
      sources.find(({ permits }) => permits.length > 0)!.finish();
    }
    expect(sent.join("")).toBe("acdaca");
  });

  test("where requests come back at once a turn lasts a while, and ends when there is nothing more to send", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 9, b: 2, c: 9 });
    for (const source of sources) lane.add(source);
    for (let times = 0; times < 12; times++) {
      sources.find(({ permits }) => permits.length > 0)!.finish();
      pass(TURN_MS / 4);
    }
    // Of the first request nobody knows how long it takes.
    expect(sent.join("")).toBe("abbccccaaaacc");
  });

  test("requests that take longer than a turn are given out one by one, also when many come back at once", () => {
    const { lane } = laneOf(4);
    const { sources, sent } = sourcesOf({ a: 9, b: 9, c: 9 });
    const all = sources.flatMap((source) => (lane.add(source), source));
    for (let round = 0; round < 2; round++) {
      pass(TURN_MS);
      const flying = all.flatMap((source) => source.permits.map(() => source));
      for (const source of flying) source.finish();
    }
    expect(sent.join("")).toBe("aaaabcabcabc");
  });

  test("a source that was taken away is asked no more, and the turn of the others stays", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 9, b: 9, c: 9 });
    const [a, b, c] = sources as [Source, Source, Source];
    for (const source of sources) lane.add(source);
    const finish = (source: Source) => {
      pass(TURN_MS);
      source.finish();
    };
    finish(a);
    lane.remove(a);
    lane.remove(a);
    finish(b);
    finish(c);
    finish(b);
    expect(sent.join("")).toBe("abcbc");
  });

  test("one that has become ready is served when the lane is asked to look", () => {
    const { lane } = laneOf(2);
    const { sources, sent } = sourcesOf({ a: 0 });
    lane.add(sources[0]!);
    sources[0]!.waiting = 1;
    expect(sent).toEqual([]);
    lane.pump();
    expect(sent).toEqual(["a"]);
  });

  test("bytes in flight are bounded, while one request of any size may be sent", () => {
    const { lane } = laneOf(100);
    const { sources } = sourcesOf({ a: 10 });
    const [a] = sources as [Source];
    a.sizeBytes = 50 * 1024 * 1024;
    lane.add(a);
    expect(lane.inFlight).toBe(3);
    a.finish();
    expect(lane.inFlight).toBe(3);
    a.sizeBytes = 500 * 1024 * 1024;
    for (let times = 0; times < 3; times++) a.finish();
    expect(lane.inFlight).toBe(1);
    a.sizeBytes = 1;
    a.finish();
    expect(lane.inFlight).toBe(5);
  });

  test("an outcome that comes before the sending is over leaves nothing behind", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 0 });
    const [a] = sources as [Source];
    let left = 5;
    const hasty: LaneSource = {
      endpoint: a.endpoint,
      ready: () => (left > 0 ? "one" : "none"),
      send: (permit) => {
        left--;
        lane.finish(permit, success);
        return 200 * 1024 * 1024;
      },
    };
    lane.add(hasty);
    expect([left, lane.inFlight]).toEqual([0, 0]);
    lane.add(a);
    a.waiting = 1;
    lane.pump();
    expect(sent).toEqual(["a"]);
  });
});

describe("a request that must be alone", () => {
  test("keeps its source's turn until the others have come back, however long they take", () => {
    const { lane } = laneOf(2);
    const { sources, sent } = sourcesOf({ a: 9, b: 9 });
    const [a, b] = sources as [Source, Source];
    lane.add(a);
    pass(1);
    a.finish();
    a.finish();
    lane.add(b);
    a.alone = true;
    pass(1);
    a.finish();
    pass(2 * TURN_MS);
    a.finish();
    expect([sent.join(""), a.permits[0]?.alone, lane.inFlight]).toEqual(["aaaaa", true, 1]);
  });

  test("waits until the lane is empty, keeps others out, and gives way when it is done", () => {
    const { lane } = laneOf(4);
    const { sources, sent } = sourcesOf({ a: 2, b: 1, c: 3 });
    const [a, b, c] = sources as [Source, Source, Source];
    b.alone = true;
    lane.add(a);
    lane.add(b);
    lane.add(c);
    expect([sent.join(""), lane.inFlight]).toEqual(["aa", 2]);
    a.finish();
    expect([sent.join(""), lane.inFlight]).toEqual(["aa", 1]);
    a.finish();
    expect([sent.join(""), lane.inFlight]).toEqual(["aab", 1]);
    expect(b.permits[0]!.alone).toBe(true);
    lane.pump();
    expect(lane.inFlight).toBe(1);
    b.finish();
    expect([sent.join(""), lane.inFlight]).toEqual(["aabccc", 3]);
    expect(c.permits.every(({ alone }) => !alone)).toBe(true);
  });

  test("two of them never share the lane", () => {
    const { lane } = laneOf(4);
    const { sources, sent } = sourcesOf({ a: 2, b: 2 });
    for (const source of sources) source.alone = true;
    for (const source of sources) lane.add(source);
    const finished: string[] = [];
    while (lane.inFlight > 0) {
      expect(lane.inFlight).toBe(1);
      const source = sources.find(({ permits }) => permits.length > 0)!;
      finished.push(source.name);
      source.finish();
    }
    expect([sent.join(""), finished.join("")]).toEqual(["abab", "abab"]);
  });

  test("an aborted one frees the lane too", () => {
    const { lane } = laneOf(2);
    const { sources, sent } = sourcesOf({ a: 1, b: 2 });
    const [a, b] = sources as [Source, Source];
    a.alone = true;
    lane.add(a);
    lane.add(b);
    a.finish(nothing);
    expect([sent.join(""), lane.inFlight]).toEqual(["abb", 2]);
  });
});

describe("a pause", () => {
  test("of the lane holds everything back, then sends one probe, then goes on", () => {
    const { lane, pauses } = laneOf(3);
    const { sources, sent } = sourcesOf({ a: 10 });
    const [a] = sources as [Source];
    lane.add(a);
    a.finish(hold("is unavailable"));
    expect([lane.reason, lane.pausedBecause("/v1/embeddings"), lane.inFlight]).toEqual([
      "is unavailable",
      "is unavailable",
      2,
    ]);
    a.finish();
    a.finish();
    expect([lane.inFlight, sent.length]).toEqual([0, 3]);
    pass(999);
    expect(lane.inFlight).toBe(0);
    pass(1);
    expect([lane.inFlight, sent.length]).toEqual([1, 4]);
    a.finish(hold("is still unavailable", { retryAfterMs: 5_000 }));
    expect([lane.reason, lane.inFlight]).toEqual(["is still unavailable", 0]);
    pass(5_000);
    expect(lane.inFlight).toBe(1);
    a.finish();
    expect([lane.reason, lane.inFlight]).toEqual([null, 3]);
    expect(pauses).toEqual([
      ["is unavailable", null],
      ["is still unavailable", "is unavailable"],
      [null, "is still unavailable"],
    ]);
  });

  test("of one endpoint leaves the others alone", () => {
    const { lane } = laneOf(2);
    const { sources, sent } = sourcesOf({ chat: 1, embed: 5 });
    const [chat, embed] = sources as [Source, Source];
    Object.assign(chat, { endpoint: "/v1/chat/completions" });
    lane.add(chat);
    lane.add(embed);
    chat.waiting = 4;
    chat.finish(hold("answers 404", { scope: "endpoint" }));
    expect(lane.pausedBecause("/v1/chat/completions")).toBe("answers 404");
    expect([lane.pausedBecause("/v1/embeddings"), lane.reason]).toEqual([null, "answers 404"]);
    expect(sent).toEqual(["chat", "embed", "embed"]);
    embed.finish();
    expect(sent.at(-1)).toBe("embed");
    pass(1_000);
    embed.finish();
    expect(sent.at(-1)).toBe("chat");
    // Until the probe is back, no second request for that endpoint.
    for (let times = 0; times < 3; times++) embed.finish();
    expect([chat.permits.length, embed.permits.length]).toEqual([1, 0]);
    chat.finish();
    expect([lane.reason, chat.permits.length]).toEqual([null, 2]);
  });

  test("of one endpoint ends by a timer of its own", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 2 });
    const [a] = sources as [Source];
    lane.add(a);
    a.finish(hold("answers 404", { scope: "endpoint" }));
    expect(sent).toHaveLength(1);
    pass(1_000);
    expect(sent).toHaveLength(2);
  });

  test("a refusal for one endpoint shows that the backend is back", () => {
    const { lane } = laneOf(1);
    const { sources } = sourcesOf({ a: 5 });
    const [a] = sources as [Source];
    lane.add(a);
    a.finish(hold("can't be reached"));
    pass(1_000);
    a.finish(hold("answers 404", { scope: "endpoint" }));
    expect(lane.pausedBecause("/v1/other")).toBeNull();
    expect(lane.pausedBecause("/v1/embeddings")).toBe("answers 404");
  });

  test("a probe that was aborted is followed by another at once", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 5 });
    const [a] = sources as [Source];
    lane.add(a);
    a.finish(hold("no"));
    pass(1_000);
    a.finish(nothing);
    expect([sent.length, lane.reason]).toEqual([3, "no"]);
  });

  test("without anybody who wants to send, there is no timer; who comes later sends the probe", () => {
    const { lane } = laneOf(1);
    const { sources, sent } = sourcesOf({ a: 1, b: 1 });
    const [a, b] = sources as [Source, Source];
    lane.add(a);
    lane.remove(a);
    a.finish(hold("no"));
    expect(vi.getTimerCount()).toBe(0);
    pass(1_000);
    lane.add(b);
    expect(sent).toEqual(["a", "b"]);
  });

  test("a closed lane has no timer", () => {
    const { lane } = laneOf(1);
    const { sources } = sourcesOf({ a: 2 });
    lane.add(sources[0]!);
    sources[0]!.finish(hold("no"));
    expect(vi.getTimerCount()).toBe(1);
    lane.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
