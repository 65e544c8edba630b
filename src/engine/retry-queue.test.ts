import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RetryQueue } from "./retry-queue.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** A queue, and what has come due: [line, when]. */
function started() {
  const due: [index: number, atMs: number][] = [];
  const startMs = performance.now();
  const now = () => performance.now() - startMs;
  const queue = new RetryQueue((index) => due.push([index, now()]));
  return { queue, due, add: (index: number, waitMs: number) => queue.add(index, now(), waitMs) };
}

test("hands out each line when its wait is over, whatever the order in which they came", () => {
  const { queue, due, add } = started();
  add(1, 300);
  add(2, 100);
  add(3, 200);
  add(4, 100);
  expect(queue.size).toBe(4);
  vi.advanceTimersByTime(99);
  expect(due).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(due).toEqual([
    [2, 100],
    [4, 100],
  ]);
  expect(queue.size).toBe(2);
  vi.advanceTimersByTime(1_000);
  expect(due.slice(2)).toEqual([
    [3, 200],
    [1, 300],
  ]);
  expect(queue.size).toBe(0);
});

test("keeps one timer, and none when it is empty", () => {
  const { queue, add } = started();
  expect(vi.getTimerCount()).toBe(0);
  for (let index = 0; index < 50; index++) add(index, 1_000 - index);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(2_000);
  expect([vi.getTimerCount(), queue.size]).toEqual([0, 0]);
});

test("a line added while another waits does not put it off", () => {
  const { due, add } = started();
  add(1, 100);
  vi.advanceTimersByTime(90);
  add(2, 100);
  vi.advanceTimersByTime(10);
  expect(due).toEqual([[1, 100]]);
  vi.advanceTimersByTime(90);
  expect(due).toEqual([
    [1, 100],
    [2, 190],
  ]);
});

test("a line may be added again when it is handed out", () => {
  const due: number[] = [];
  const queue = new RetryQueue((index) => {
    due.push(index);
    if (due.length < 3) queue.add(index, performance.now(), 50);
  });
  queue.add(7, performance.now(), 50);
  vi.advanceTimersByTime(1_000);
  expect(due).toEqual([7, 7, 7]);
});

test("without a wait a line is handed out in the next turn, not at once", () => {
  const { due, add } = started();
  add(1, 0);
  expect(due).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(due.map(([index]) => index)).toEqual([1]);
});

test("once cleared it hands out nothing, and can be used again", () => {
  const { queue, due, add } = started();
  add(1, 100);
  queue.clear();
  expect([queue.size, vi.getTimerCount()]).toEqual([0, 0]);
  vi.advanceTimersByTime(200);
  expect(due).toEqual([]);
  add(2, 100);
  vi.advanceTimersByTime(100);
  expect(due).toEqual([[2, 300]]);
});
