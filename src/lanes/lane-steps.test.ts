// Requests that take several steps on a lane: what they show meanwhile, and how their size becomes known.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { Upstream } from "../core/upstream.ts";
import { ExclusiveUse } from "./exclusive-use.ts";
import { Lane, type Permit } from "./lane.ts";

const ENDPOINT = "/v1/videos";
const MIB = 1024 * 1024;
const permits: Permit[] = [];
let waiting: number;
let clock: FakeClock;
let lane: Lane;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  clock = new FakeClock();
  permits.length = 0;
  lane = new Lane({
    upstream: { name: "gpu" } as Upstream,
    model: "m",
    exclusiveUse: new ExclusiveUse(),
    limit: { current: () => 4, isTrusted: true },
    clock,
    onPause: () => {},
  });
  waiting = 2;
  lane.add({
    endpoint: ENDPOINT,
    ready: () => (waiting > 0 ? "one" : "none"),
    send: (permit) => {
      waiting--;
      permits.push(permit);
      return 10;
    },
  });
});

afterEach(() => {
  lane.close();
  vi.useRealTimers();
});

const down = { kind: "hold", scope: "lane", reason: "down", retryAfterMs: 60_000 } as const;

test("one that goes on can pause the lane, and end the pause when it is over", () => {
  const [first] = permits as [Permit];
  lane.note(first, down);
  expect(lane.pausedBecause(ENDPOINT)).toBe("down");
  waiting = 1;
  lane.note(first, { kind: "success" });
  expect(lane.pausedBecause(ENDPOINT)).toBe("down");
  clock.pass(60_000);
  lane.note(first, { kind: "success" });
  expect(lane.pausedBecause(ENDPOINT)).toBeNull();
  expect(permits).toHaveLength(3);
  expect(lane.inFlight).toBe(3);
});

test("looks lift no pause that another request has caused, and say nothing of the endpoint", () => {
  const [job, other] = permits as [Permit, Permit];
  lane.note(job, { kind: "success" });
  expect(lane.answered(ENDPOINT)).toBe(1);
  lane.finish(other, { kind: "hold", scope: "endpoint", reason: "404", retryAfterMs: 1_000 });
  waiting = 1;
  for (let looks = 0; looks < 3; looks++) {
    clock.pass(100);
    lane.note(job, { kind: "success" });
  }
  expect(lane.pausedBecause(ENDPOINT)).toBe("404");
  expect(lane.answered(ENDPOINT)).toBe(1);
  clock.pass(700);
  lane.finish(job, { kind: "success" });
  // The pause is over, and the next request is the one that finds out.
  expect(lane.pausedBecause(ENDPOINT)).toBe("404");
  expect(permits).toHaveLength(3);
  expect(lane.answered(ENDPOINT)).toBe(1);
});

test("one that was let through to probe shows at its first step that the way is clear", () => {
  lane.note(permits[0]!, down);
  waiting = 2;
  clock.pass(60_000);
  lane.pump();
  expect(permits).toHaveLength(3);
  lane.note(permits[2]!, { kind: "success" });
  expect(permits).toHaveLength(4);
});

test("one that is over shows nothing any more", () => {
  const [first] = permits as [Permit];
  lane.finish(first, { kind: "nothing" });
  lane.note(first, down);
  expect(lane.pausedBecause(ENDPOINT)).toBeNull();
  expect(lane.inFlight).toBe(1);
});

test("what is reserved counts until it is over, or turns out to be less", async () => {
  const [first, second] = permits as [Permit, Permit];
  await lane.reserve(first, 100 * MIB);
  let granted = false;
  const reserving = lane.reserve(second, 100 * MIB).then(() => (granted = true));
  waiting = 1;
  lane.pump();
  expect([permits.length, granted]).toEqual([2, false]);
  lane.resize(first, 20 * MIB);
  await reserving;
  expect(permits).toHaveLength(3);
  lane.finish(first, { kind: "nothing" });
  lane.finish(second, { kind: "nothing" });
  // All is given back: what would not fit beside anything is granted.
  await lane.reserve(permits[2]!, 128 * MIB);
});

test("what is granted to one that is over by then is given back at once", async () => {
  const [first, second] = permits as [Permit, Permit];
  await lane.reserve(first, 100 * MIB);
  const late = lane.reserve(second, 100 * MIB);
  lane.finish(second, { kind: "nothing" });
  lane.resize(second, 1);
  lane.finish(first, { kind: "nothing" });
  await late;
  waiting = 1;
  lane.pump();
  await expect(lane.reserve(permits[2]!, 128 * MIB)).resolves.toBeUndefined();
});
