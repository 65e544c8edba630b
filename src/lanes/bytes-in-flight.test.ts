import { expect, test } from "vitest";
import { BytesInFlight } from "./bytes-in-flight.ts";

/** Asks for bytes, and notes when they are granted. */
function ask(bytes: BytesInFlight, sizeBytes: number, granted: number[]): void {
  void bytes.reserve(sizeBytes).then(() => granted.push(sizeBytes));
}

const turns = async () => {
  await Promise.resolve();
  await Promise.resolve();
};

test("small requests are started until there are too many bytes, whatever the last one has", () => {
  const bytes = new BytesInFlight(100);
  bytes.add(99);
  expect(bytes.hasRoom).toBe(true);
  bytes.add(500);
  expect(bytes.hasRoom).toBe(false);
  bytes.remove(500, 0);
  expect(bytes.hasRoom).toBe(true);
});

test("who asks waits for room, in turn; nobody overtakes, and nothing is started meanwhile", async () => {
  const bytes = new BytesInFlight(100);
  const granted: number[] = [];
  for (const size of [60, 50, 10]) ask(bytes, size, granted);
  await turns();
  expect([granted, bytes.hasRoom]).toEqual([[60], false]);
  bytes.remove(60, 60);
  await turns();
  expect([granted, bytes.hasRoom]).toEqual([[60, 50, 10], true]);
});

test("something larger than all the room is granted once nothing else is", async () => {
  const bytes = new BytesInFlight(100);
  const granted: number[] = [];
  // The bodies of requests that wait with it are no reason to wait.
  bytes.add(40);
  for (const size of [10, 500, 20]) ask(bytes, size, granted);
  await turns();
  expect(granted).toEqual([10]);
  bytes.remove(10, 10);
  await turns();
  expect(granted).toEqual([10, 500]);
  bytes.remove(500, 500);
  await turns();
  expect(granted).toEqual([10, 500, 20]);
});
