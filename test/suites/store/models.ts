// Models: the last discovery of each upstream.

import { expect, it } from "vitest";
import type { OpenStore } from "./store-under-test.ts";

export function modelCases(open: OpenStore): void {
  it("knows nothing at first", async () => {
    const { store } = await open();
    expect(await store.models.all()).toEqual(new Map());
  });

  it("keeps the last list of each upstream", async () => {
    const { store, peer } = await open();
    await store.models.save("near", ["a", "b"], 1_000);
    await store.models.save("far", ["c"], 1_000);
    await store.models.save("near", ["b"], 2_000);
    await store.models.save("far", [], 2_000);
    expect(await peer.models.all()).toEqual(
      new Map([
        ["near", ["b"]],
        ["far", []],
      ]),
    );
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const models = ["a"];
    await store.models.save("near", models, 1_000);
    models.push("b");
    (await store.models.all()).get("near")!.push("c");
    expect(await store.models.all()).toEqual(new Map([["near", ["a"]]]));
  });
}
