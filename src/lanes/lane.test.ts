import { describe, expect, test, vi } from "vitest";
import {
  laneOf,
  pass,
  type Source,
  sourcesOf,
  useLaneClock,
} from "../../test/support/lane-stage.ts";
import type { LaneEffect, LaneSource } from "./lane.ts";

const success: LaneEffect = { kind: "success" };
const nothing: LaneEffect = { kind: "nothing" };
const hold = (reason: string, about: { scope?: "lane" | "endpoint"; retryAfterMs?: number } = {}) =>
  ({
    kind: "hold",
    reason,
    scope: about.scope ?? "lane",
    retryAfterMs: about.retryAfterMs ?? 1_000,
  }) satisfies LaneEffect;

useLaneClock();

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
