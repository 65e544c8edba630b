import { expect, test } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { Gate } from "./gate.ts";

const never = Number.POSITIVE_INFINITY;

/** A gate whose pauses are as long as they can be. */
function gateOf() {
  const clock = new FakeClock();
  return { clock, gate: new Gate(clock, () => 1) };
}

test("is open at first, for any number of requests", () => {
  const { gate } = gateOf();
  expect([gate.reason, gate.waitMs]).toEqual([null, 0]);
  const passes = [gate.pass(), gate.pass(), gate.pass()];
  expect(passes.every(({ probe }) => !probe)).toBe(true);
  for (const pass of passes) gate.succeed(pass);
  expect([gate.reason, gate.waitMs]).toEqual([null, 0]);
});

test("shuts with a reason, lets one probe through when the pause is over, and opens when that succeeds", () => {
  const { gate, clock } = gateOf();
  gate.hold(gate.pass(), "is rate limiting", null);
  expect([gate.reason, gate.waitMs]).toEqual(["is rate limiting", 500]);
  clock.pass(499);
  expect(gate.waitMs).toBe(1);
  clock.pass(1);
  expect([gate.reason, gate.waitMs]).toEqual(["is rate limiting", 0]);
  const probe = gate.pass();
  expect(probe.probe).toBe(true);
  expect([gate.reason, gate.waitMs]).toEqual(["is rate limiting", never]);
  clock.pass(100_000);
  expect(gate.waitMs).toBe(never);
  gate.succeed(probe);
  expect([gate.reason, gate.waitMs]).toEqual([null, 0]);
  expect(gate.pass().probe).toBe(false);
});

test("each probe that fails doubles the pause, to the most; a success starts anew", () => {
  const { gate, clock } = gateOf();
  const pauses: number[] = [];
  const failOnce = () => {
    clock.pass(gate.waitMs);
    gate.hold(gate.pass(), "no", null);
    pauses.push(gate.waitMs);
  };
  for (let times = 0; times < 9; times++) failOnce();
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  clock.pass(30_000);
  gate.succeed(gate.pass());
  failOnce();
  expect(pauses.at(-1)).toBe(500);
});

test("many requests under way when it shuts count as one", () => {
  const { gate } = gateOf();
  const passes = Array.from({ length: 64 }, () => gate.pass());
  for (const [at, pass] of passes.entries()) gate.hold(pass, `reason ${at}`, null);
  expect([gate.reason, gate.waitMs]).toEqual(["reason 0", 500]);
});

test("a late success does not open it, and a late failure does not shut it", () => {
  const { gate, clock } = gateOf();
  const [first, second, third] = [gate.pass(), gate.pass(), gate.pass()];
  gate.hold(first, "no", null);
  gate.succeed(second);
  expect([gate.reason, gate.waitMs]).toEqual(["no", 500]);
  clock.pass(500);
  gate.succeed(gate.pass());
  gate.hold(third, "late", 60_000);
  expect([gate.reason, gate.waitMs]).toEqual([null, 0]);
});

test("a late success does not end the wait for the probe", () => {
  const { gate, clock } = gateOf();
  const [first, second] = [gate.pass(), gate.pass()];
  gate.hold(first, "no", null);
  clock.pass(500);
  gate.pass();
  gate.succeed(second);
  gate.leave(second);
  expect([gate.reason, gate.waitMs]).toEqual(["no", never]);
});

test("waits as long as the backend asks, and counts that as one pause", () => {
  const { gate, clock } = gateOf();
  gate.hold(gate.pass(), "no", 45_000);
  expect(gate.waitMs).toBe(45_000);
  clock.pass(45_000);
  gate.hold(gate.pass(), "no", null);
  expect(gate.waitMs).toBe(1_000);
});

test("requests under way make the pause longer when the backend asks for that, not shorter", () => {
  const { gate, clock } = gateOf();
  const [first, second, third] = [gate.pass(), gate.pass(), gate.pass()];
  gate.hold(first, "no", 2_000);
  clock.pass(500);
  gate.hold(second, "no", 5_000);
  expect(gate.waitMs).toBe(5_000);
  gate.hold(third, "no", 1_000);
  expect(gate.waitMs).toBe(5_000);
});

test("a backend that asks for no pause, or nearly none, gets a short one: it is not hammered", () => {
  const { gate, clock } = gateOf();
  for (const retryAfterMs of [0, 1, 99]) {
    gate.hold(gate.pass(), "no", retryAfterMs);
    expect(gate.waitMs).toBe(100);
    clock.pass(100);
  }
});

test("a probe that says nothing makes room for the next", () => {
  const { gate, clock } = gateOf();
  gate.hold(gate.pass(), "no", null);
  clock.pass(500);
  gate.leave(gate.pass());
  expect([gate.reason, gate.waitMs]).toEqual(["no", 0]);
  gate.succeed(gate.pass());
  expect(gate.reason).toBeNull();
});

test("a request that says nothing leaves an open gate open", () => {
  const { gate } = gateOf();
  gate.leave(gate.pass());
  expect([gate.reason, gate.waitMs]).toEqual([null, 0]);
});

test("pauses are spread over the upper half of their length", () => {
  const clock = new FakeClock();
  const gate = new Gate(clock, () => 0);
  gate.hold(gate.pass(), "no", null);
  expect(gate.waitMs).toBe(250);
});
