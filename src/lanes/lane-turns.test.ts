// Whose turn it is on a lane, and for how long.
import { expect, test } from "vitest";
import {
  laneOf,
  pass,
  type Source,
  sourcesOf,
  useLaneClock,
} from "../../test/support/lane-stage.ts";
import { TURN_MS } from "./lane.ts";

useLaneClock();

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

test("a request that must be alone keeps its source's turn until the others have come back, however long they take", () => {
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
