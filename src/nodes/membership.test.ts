// A node among others: shares of limits, who is trusted, and what is said when.
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { NodeRole } from "../core/node-store.ts";
import { Signals } from "../core/signals.ts";
import type { Store } from "../core/store.ts";
import { createLog } from "../observability/log.ts";
import { openSqliteStore } from "../storage/sql/sqlite.ts";
import { Membership } from "./membership.ts";
import { SharedClock } from "./shared-clock.ts";

const LIFE_MS = 30_000;

let clock: FakeClock;
let store: Store;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  clock = new FakeClock();
  store = await openSqliteStore({ path: ":memory:", clock });
});

afterEach(async () => {
  vi.useRealTimers();
  await store.close();
});

interface Joined {
  node: Membership;
  signals: Signals;
  log: string[];
}

function nodeOf(id: string, role: NodeRole = "all", secretKeyId = "a key"): Joined {
  const signals = new Signals();
  const log: string[] = [];
  const node = new Membership({
    nodes: store.nodes,
    id,
    role,
    host: "machine",
    secretKeyId,
    lifeMs: LIFE_MS,
    signals,
    clock: new SharedClock(clock),
    log: createLog("info", { write: (line) => log.push(line) }),
  });
  onTestFinished(() => node.stop());
  return { node, signals, log };
}

/** Has each of them beat, and hear what comes of it. */
async function beat(...joined: Joined[]): Promise<void> {
  for (const { node, signals } of joined) {
    const heard = new Promise<void>((resolve) => node.onChange(resolve));
    signals.emit("nodes-changed");
    await heard;
  }
}

test("the only node has the whole of every limit at once", async () => {
  const { node } = nodeOf("a");
  expect(node.of(64)).toBe(0);
  await node.start();
  expect([node.of(64), node.of(1), node.isFirst, node.isTrusted]).toEqual([64, 1, true, true]);
});

test("nodes that run batches divide limits without remainder, those that only serve get none", async () => {
  const joined = [nodeOf("a"), nodeOf("b", "engine"), nodeOf("c", "api"), nodeOf("d")];
  for (const { node } of joined) await node.start();
  clock.pass(5_000);
  await beat(...joined);
  const shares = (limit: number) => joined.map(({ node }) => node.of(limit));
  expect(shares(9)).toEqual([3, 3, 0, 3]);
  expect(shares(64)).toEqual([22, 21, 0, 21]);
  expect(shares(2)).toEqual([1, 1, 0, 0]);
  expect(joined.map(({ node }) => node.isFirst)).toEqual([true, false, false, false]);
});

test("a node that comes has no share before the others have seen that theirs are smaller", async () => {
  const first = nodeOf("a");
  await first.node.start();
  const second = nodeOf("b");
  await second.node.start();
  expect([first.node.of(10), second.node.of(10)]).toEqual([10, 0]);
  clock.pass(2_000);
  await beat(first, second);
  expect([first.node.of(10), second.node.of(10)]).toEqual([5, 0]);
  clock.pass(2_000);
  expect([first.node.of(10), second.node.of(10)]).toEqual([5, 5]);
});

test("shares of a node that leaves are there at once, of one that died when its life is over", async () => {
  const joined = [nodeOf("a"), nodeOf("b"), nodeOf("c")] as const;
  for (const { node } of joined) await node.start();
  clock.pass(5_000);
  await beat(...joined);
  const [a, b, c] = joined;
  await b.node.stop();
  await beat(a, c);
  expect([a.node.of(12), c.node.of(12)]).toEqual([6, 6]);
  clock.pass(LIFE_MS - 1);
  await beat(a);
  expect(a.node.of(12)).toBe(6);
  clock.pass(1);
  await beat(a);
  expect(a.node.of(12)).toBe(12);
});

test("a node that could not beat is not trusted, by itself first, and is again with the next beat", async () => {
  const a = nodeOf("a");
  await a.node.start();
  clock.pass(19_999);
  expect(a.node.isTrusted).toBe(true);
  clock.pass(1);
  expect(a.node.isTrusted).toBe(false);
  await beat(a);
  expect(a.node.isTrusted).toBe(true);
});

test("beats by itself, and goes on when the Store fails meanwhile", async () => {
  const a = nodeOf("a");
  await a.node.start();
  const beats = vi.spyOn(store.nodes, "beat");
  beats.mockRejectedValueOnce(new Error("no connection"));
  vi.advanceTimersByTime(2_000);
  await vi.waitFor(() => expect(a.log.join()).toContain("no connection"));
  expect(a.node.isTrusted).toBe(true);
  const heard = new Promise<void>((resolve) => a.node.onChange(resolve));
  vi.advanceTimersByTime(2_000);
  await heard;
  expect(beats).toHaveBeenCalledTimes(2);
});

test("tells what its lanes have", async () => {
  const { node } = nodeOf("a");
  const lanes = [{ upstream: "gpu", model: "m", inFlight: 3, limit: 64 }];
  node.report(() => lanes);
  await node.start();
  expect((await store.nodes.living())[0]?.lanes).toEqual(lanes);
});

test("two that want an upstream to themselves have it one after the other", async () => {
  const [a, b] = [nodeOf("a"), nodeOf("b")];
  const [mine, theirs] = [a.node.turnOf("gpu"), b.node.turnOf("gpu")];
  for (const { node } of [a, b]) await node.start();
  // As lanes with nothing in flight do.
  for (const turn of [mine, theirs]) turn.onChange(() => turn.isElsewhere && turn.ranEmpty());
  theirs.ask();
  mine.ask();
  const settle = async () => {
    for (let round = 0; round < 4; round++) await beat(a, b);
  };
  await settle();
  expect([mine.isOurs, theirs.isOurs, theirs.isElsewhere]).toEqual([true, false, true]);
  mine.giveUp();
  await settle();
  expect([mine.isOurs, mine.isElsewhere, theirs.isOurs]).toEqual([false, true, true]);
  clock.pass(20_000);
  expect(theirs.isOurs).toBe(false);
});

test("a node with another secret key than the others does not join them", async () => {
  await nodeOf("a").node.start();
  await expect(nodeOf("b", "all", "another key").node.start()).rejects.toThrow(
    /^secret_key is not that of the node a on machine: /,
  );
  expect((await store.nodes.living()).map(({ id }) => id)).toEqual(["a"]);
});
