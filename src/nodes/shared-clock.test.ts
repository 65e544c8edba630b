import { expect, test } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { SharedClock } from "./shared-clock.ts";

const HOUR_MS = 3_600_000;

test("shows the Store's time, and goes on with the machine's clock", () => {
  const machine = new FakeClock();
  const clock = new SharedClock(machine);
  expect(clock.now()).toBe(machine.now());
  const askedMs = clock.monotonicMs();
  machine.pass(200);
  const storeNow = machine.now() - 25 * HOUR_MS;
  expect(clock.learn(storeNow, askedMs)).toBe(100 - 25 * HOUR_MS);
  machine.pass(5_000);
  expect(clock.now()).toBe(storeNow + 100 + 5_000);
  expect(clock.monotonicMs()).toBe(machine.monotonicMs());
});

test("follows when the machine's clock is set, and not every delay on the way", () => {
  const machine = new FakeClock();
  const clock = new SharedClock(machine);
  const store = () => clock.learn(machine.monotonicMs() + 1_000_000, machine.monotonicMs());
  store();
  const before = clock.now();
  machine.jump(-HOUR_MS);
  expect(store()).toBeDefined();
  expect(Math.abs(clock.now() - before)).toBeLessThan(2);
  const now = clock.now();
  expect(clock.learn(now + 999, clock.monotonicMs())).toBeUndefined();
  const askedMs = clock.monotonicMs();
  machine.pass(2_001);
  expect(clock.learn(now + HOUR_MS, askedMs)).toBeUndefined();
  expect(clock.now()).toBe(now + 2_001);
});
