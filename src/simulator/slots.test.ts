import { describe, expect, it } from "vitest";
import { Place, Slots } from "./slots.ts";

function placesIn(slots: Slots, names: string[]) {
  const turns: string[] = [];
  const places = names.map((name) => new Place(() => turns.push(name)));
  const states = places.map((place) => slots.enter(place));
  return { turns, places, states };
}

describe("Slots", () => {
  it("runs up to its limit, lets the next ones wait, and refuses beyond that", () => {
    const slots = new Slots(2, 1);
    const { states, turns } = placesIn(slots, ["a", "b", "c", "d"]);
    expect(states).toEqual(["running", "running", "waiting", "full"]);
    expect(turns).toEqual([]);
    expect([slots.running, slots.waiting, slots.peakRunning]).toEqual([2, 1, 2]);
  });

  it("gives turns in the order of arrival", () => {
    const slots = new Slots(1, 10);
    const { places, turns } = placesIn(slots, ["a", "b", "c", "d"]);
    for (const place of places) slots.leave(place);
    expect(turns).toEqual(["b", "c", "d"]);
    expect([slots.running, slots.waiting, slots.peakRunning]).toEqual([0, 0, 1]);
  });

  it("forgets who leaves while waiting, wherever in the queue", () => {
    const slots = new Slots(1, 10);
    const { places, turns } = placesIn(slots, ["a", "b", "c", "d", "e"]);
    for (const index of [2, 1, 4]) slots.leave(places[index]!);
    expect(slots.waiting).toBe(1);
    slots.leave(places[0]!);
    expect(turns).toEqual(["d"]);
    const late = placesIn(slots, ["f"]);
    slots.leave(places[3]!);
    expect(late.turns).toEqual(["f"]);
  });

  it("frees a slot once, however often its owner leaves", () => {
    const slots = new Slots(1, 10);
    const { places, turns } = placesIn(slots, ["a", "b", "c"]);
    slots.leave(places[0]!);
    slots.leave(places[0]!);
    expect(turns).toEqual(["b"]);
    expect([slots.running, slots.waiting]).toEqual([1, 1]);
  });
});
