import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { fakeTimers, startEngine } from "../../test/support/running-engine.ts";
import { blobKeys } from "../core/blob-store.ts";
import { Simulator } from "../simulator/simulator.ts";

let stage: EngineStage;
let simulator: Simulator;
const never = new AbortController().signal;

beforeEach(async () => {
  fakeTimers();
  stage = await openEngineStage();
  simulator = new Simulator();
  await simulator.start();
});

afterEach(async () => {
  await simulator.stop();
  await stage[Symbol.asyncDispose]();
  vi.useRealTimers();
});

const planned = (...texts: string[]) => stage.planBatch(texts.map((text) => embeddingLine(text)));
const batchOf = async (id: string) => (await stage.store.batches.get("default", id))!;

async function errorsOf(id: string): Promise<unknown[]> {
  const { errorFileId } = await batchOf(id);
  const chunks: Uint8Array[] = [];
  for await (const chunk of stage.blobs.read(blobKeys.file(errorFileId!))) chunks.push(chunk);
  return Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

test("a line that always gets 404 fails alone, when others are answered or the model is still listed", async () => {
  await using engine = await startEngine(stage, { baseUrl: simulator.baseUrl });
  const small = await planned("a", "[simulate: 404]", "b");
  const other = await planned(...Array.from({ length: 20 }, (_, n) => `text ${n}`));
  await engine.runUntil(async () => {
    await engine.assembler.tick(never);
    return (
      (await batchOf(small)).status === "completed" && (await batchOf(other)).status === "completed"
    );
  });
  expect((await batchOf(small)).counts).toEqual({ total: 3, completed: 2, failed: 1 });
  expect(await errorsOf(small)).toMatchObject([{ response: { status_code: 404 }, error: null }]);
  expect((await batchOf(other)).counts).toEqual({ total: 20, completed: 20, failed: 0 });
});

test("a model that is gone fails no line: the lane waits", async () => {
  await using engine = await startEngine(stage, {
    baseUrl: simulator.baseUrl,
    models: ["simulated-model", "gone"],
  });
  const id = await stage.planBatch([embeddingLine("a", "gone"), embeddingLine("b", "gone")]);
  let ticks = 0;
  await engine.runUntil(() => ++ticks > 200);
  expect(await batchOf(id)).toMatchObject({
    status: "in_progress",
    counts: { completed: 0, failed: 0 },
    waitingReason: expect.stringContaining("answers 404 to POST /v1/embeddings"),
  });
});
