import { expect, test, vi } from "vitest";
import { type Relay, Signals } from "./signals.ts";

const newListener = () => vi.fn<() => void>();

test("wakes everybody who listens to that name, and nobody else", () => {
  const signals = new Signals();
  const [one, two, other] = [newListener(), newListener(), newListener()];
  signals.on("batch-created", one);
  signals.on("batch-created", two);
  signals.on("batch-ending", other);
  signals.emit("batch-created");
  signals.emit("batch-created");
  expect([one, two, other].map((listener) => listener.mock.calls.length)).toEqual([2, 2, 0]);
});

test("a signal that nobody hears is no loss", () => {
  const signals = new Signals();
  expect(() => signals.emit("bytes-unneeded")).not.toThrow();
});

test("who has ended listening hears no more, and may end it twice", () => {
  const signals = new Signals();
  const [leaver, stayer] = [newListener(), newListener()];
  const end = signals.on("batch-planned", leaver);
  signals.on("batch-planned", stayer);
  end();
  end();
  signals.emit("batch-planned");
  expect([leaver, stayer].map((listener) => listener.mock.calls.length)).toEqual([0, 1]);
});

test("a listener may end its listening while it is called", () => {
  const signals = new Signals();
  const later = newListener();
  const end = signals.on("batch-planned", () => end());
  signals.on("batch-planned", later);
  signals.emit("batch-planned");
  expect(later).toHaveBeenCalledOnce();
});

test("a relay hears every signal but those it brings, which reach the listeners and the other relays", () => {
  const signals = new Signals();
  const listener = newListener();
  const [one, other] = [vi.fn<Relay>(), vi.fn<Relay>()];
  signals.on("batch-created", listener);
  const end = signals.connect(one);
  signals.connect(other);
  signals.emit("batch-created");
  signals.emit("batch-created", one);
  expect(listener).toHaveBeenCalledTimes(2);
  expect(one.mock.calls).toEqual([["batch-created"]]);
  expect(other.mock.calls).toEqual([["batch-created"], ["batch-created"]]);
  end();
  signals.emit("batch-ended");
  expect(one).toHaveBeenCalledTimes(1);
  expect(other).toHaveBeenLastCalledWith("batch-ended");
});
