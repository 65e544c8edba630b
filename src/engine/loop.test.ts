import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createLog } from "../observability/log.ts";
import { Loop } from "./loop.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** A loop whose runs end when told, and what it logs. */
function started(tick?: () => Promise<void>) {
  const lines: string[] = [];
  const runs: PromiseWithResolvers<void>[] = [];
  const loop = new Loop({
    name: "sample",
    pollMs: 1_000,
    log: createLog("info", { write: (line) => lines.push(line) }),
    tick:
      tick ??
      (() => {
        const run = Promise.withResolvers<void>();
        runs.push(run);
        return run.promise;
      }),
  });
  return { loop, runs, lines };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

test("runs when woken, and from then on every so often", async () => {
  const { loop, runs } = started(undefined);
  expect(runs).toHaveLength(0);
  loop.wake();
  await settle();
  expect(runs).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
  runs[0]!.resolve();
  await vi.advanceTimersByTimeAsync(999);
  expect(runs).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toHaveLength(2);
});

test("woken while it runs, it runs once more, never two at a time", async () => {
  const { loop, runs } = started();
  loop.wake();
  await settle();
  loop.wake();
  loop.wake();
  await settle();
  expect(runs).toHaveLength(1);
  runs[0]!.resolve();
  await settle();
  expect(runs).toHaveLength(2);
  runs[1]!.resolve();
  await settle();
  expect(runs).toHaveLength(2);
});

test("work that wakes its own loop at once is still done one at a time", async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  const { loop } = started(async () => {
    most = Math.max(most, ++running);
    if (++runs < 3) loop.wake();
    await Promise.resolve();
    running--;
  });
  loop.wake();
  await settle();
  expect({ most, runs }).toEqual({ most: 1, runs: 3 });
});

test("a wake-up between two polls does not wait, and the poll is counted from it", async () => {
  const { loop, runs } = started();
  loop.wake();
  await settle();
  runs[0]!.resolve();
  await vi.advanceTimersByTimeAsync(600);
  loop.wake();
  await settle();
  runs[1]!.resolve();
  await vi.advanceTimersByTimeAsync(999);
  expect(runs).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toHaveLength(3);
});

test("an error is logged with the loop's name, and the next poll tries again, not at once", async () => {
  const { loop, runs, lines } = started();
  loop.wake();
  await settle();
  loop.wake();
  runs[0]!.reject(new Error("no disk"));
  await vi.advanceTimersByTimeAsync(999);
  expect(runs).toHaveLength(1);
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({
      level: "error",
      loop: "sample",
      err: expect.objectContaining({ message: "no disk" }),
    }),
  ]);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toHaveLength(2);
});

test("stopping waits for the run under way, and nothing runs after it", async () => {
  const { loop, runs } = started();
  loop.wake();
  await settle();
  loop.wake();
  let stopped = false;
  const stopping = loop.stop().then(() => (stopped = true));
  await settle();
  expect(stopped).toBe(false);
  runs[0]!.resolve();
  await stopping;
  loop.wake();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("stopping between two runs ends the polling", async () => {
  const { loop, runs } = started();
  loop.wake();
  await settle();
  runs[0]!.resolve();
  await settle();
  await loop.stop();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
});
