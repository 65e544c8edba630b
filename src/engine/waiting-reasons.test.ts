import { afterEach, beforeEach, expect, test } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import type { BatchStore } from "../core/store.ts";
import { WaitingReasons } from "./waiting-reasons.ts";

let stage: EngineStage;
beforeEach(async () => {
  stage = await openEngineStage();
});
afterEach(() => stage[Symbol.asyncDispose]());

const reasonOf = async (id: string) =>
  (await stage.store.batches.get("default", id))?.waitingReason;

/** The store's batches, and what was written to it. */
function watched(): { batches: BatchStore; writes: [string[], string | null][]; fail: boolean } {
  const watch = {
    writes: [] as [string[], string | null][],
    fail: false,
    batches: {
      ...stage.store.batches,
      setWaitingReason: async (ids: string[], reason: string | null) => {
        if (watch.fail) throw new Error("no database");
        watch.writes.push([ids, reason]);
        await stage.store.batches.setWaitingReason(ids, reason);
      },
    },
  };
  return watch;
}

test("shows why a batch waits, and clears it when it moves", async () => {
  const id = await stage.planBatch([embeddingLine("a")]);
  const reasons = new WaitingReasons(stage.store.batches);
  await reasons.show(new Map([[id, "the lane is paused"]]));
  expect(await reasonOf(id)).toBe("the lane is paused");
  await reasons.show(new Map([[id, null]]));
  expect(await reasonOf(id)).toBeNull();
});

test("writes only what has changed, batches with the same reason in one step", async () => {
  const ids = await Promise.all(
    ["a", "b", "c"].map((text) => stage.planBatch([embeddingLine(text)])),
  );
  const { batches, writes } = watched();
  const reasons = new WaitingReasons(batches);
  const show = (...shown: (string | null)[]) =>
    reasons.show(
      new Map(ids.slice(0, shown.length).map((id, at) => [id, shown[at] as string | null])),
    );
  await show("x", "x", null);
  await show("x", "x", null);
  await show("y", "x", null);
  expect(writes).toEqual([
    [[ids[0], ids[1]], "x"],
    [[ids[2]], null],
    [[ids[0]], "y"],
  ]);
});

test("clears what an earlier process has left", async () => {
  const id = await stage.planBatch([embeddingLine("a")]);
  await stage.store.batches.setWaitingReason([id], "written by another process");
  await new WaitingReasons(stage.store.batches).show(new Map([[id, null]]));
  expect(await reasonOf(id)).toBeNull();
});

test("what could not be written is tried again", async () => {
  const id = await stage.planBatch([embeddingLine("a")]);
  const watch = watched();
  const reasons = new WaitingReasons(watch.batches);
  watch.fail = true;
  await expect(reasons.show(new Map([[id, "x"]]))).rejects.toThrow("no database");
  watch.fail = false;
  await reasons.show(new Map([[id, "x"]]));
  expect(await reasonOf(id)).toBe("x");
});
