// Nodes: who lives, and what each last said.

import { expect, it } from "vitest";
import { aBeat } from "../../support/node-beat.ts";
import type { OpenStore } from "./store-under-test.ts";

const LIFE_MS = 10_000;

export function nodeCases(open: OpenStore): void {
  it("a beat answers what all living nodes last said, by id", async () => {
    const { store, peer, clock } = await open();
    const [b, a] = [aBeat("node_b"), aBeat("node_a", { role: "engine" })];
    expect(await store.nodes.beat(b, LIFE_MS)).toEqual({ living: [b], now: clock.now() });
    expect((await peer.nodes.beat(a, LIFE_MS)).living).toEqual([a, b]);
    const lanes = [{ upstream: "gpu", model: "m", inFlight: 3, limit: 32 }];
    const changed = { ...b, wantsAlone: { gpu: "1" }, emptyFor: { other: "2" }, lanes };
    expect((await store.nodes.beat(changed, LIFE_MS)).living).toEqual([a, changed]);
    expect(await peer.nodes.living()).toEqual([a, changed]);
  });

  it("a node without a beat for its life is not among the living, until it beats again", async () => {
    const { store, peer, clock } = await open();
    const [a, b] = [aBeat("node_a"), aBeat("node_b")];
    await store.nodes.beat(a, LIFE_MS);
    clock.pass(LIFE_MS - 1);
    expect((await peer.nodes.beat(b, LIFE_MS)).living).toEqual([a, b]);
    clock.pass(1);
    expect(await peer.nodes.living()).toEqual([b]);
    expect((await store.nodes.beat(a, LIFE_MS)).living).toEqual([a, b]);
  });

  it("a node that leaves is gone at once; leaving again is harmless", async () => {
    const { store, peer } = await open();
    const [a, b] = [aBeat("node_a"), aBeat("node_b")];
    await store.nodes.beat(a, LIFE_MS);
    await peer.nodes.beat(b, LIFE_MS);
    await store.nodes.leave("node_a");
    await store.nodes.leave("node_a");
    expect(await peer.nodes.living()).toEqual([b]);
  });
}
