// Whose turn it is when there is more to run than runs at a time: a batch that comes late, and batches
// of a model that nobody answers for.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { fakeTimers, startEngine } from "../../test/support/running-engine.ts";
import { answer, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import type { Batch } from "../core/batch.ts";
import { Simulator } from "../simulator/simulator.ts";

let stage: EngineStage;
let cleanup: AsyncDisposableStack;

beforeEach(async () => {
  fakeTimers();
  stage = await openEngineStage();
  cleanup = new AsyncDisposableStack();
  cleanup.use(stage);
});

afterEach(async () => {
  await cleanup.disposeAsync();
  vi.useRealTimers();
});

const batchOf = async (id: string): Promise<Batch> =>
  (await stage.store.batches.get("default", id))!;
const batchesOf = (ids: readonly string[]) => Promise.all(ids.map(batchOf));

function planned(name: string, lines: number, model = "simulated-model"): Promise<string> {
  const texts = Array.from({ length: lines }, (_, at) => `${name}, text ${at}`);
  return stage.planBatch(texts.map((text) => embeddingLine(text, model)));
}

test("a small batch that comes late gets its turn after a while; the large ones that gave way lose nothing", async () => {
  const simulator = new Simulator({ timeToFirstTokenMs: 400 });
  cleanup.use(simulator);
  const { baseUrl } = await simulator.start();
  const engine = await startEngine(stage, { baseUrl, concurrency: 4 });
  cleanup.use(engine);
  const large: string[] = [];
  for (let at = 0; at < 16; at++) large.push(await planned(`large ${at}`, 25));
  await engine.runUntil(() => simulator.stats().answered >= 4, 100);
  const small = await planned("small", 2);
  const ended = async (...ids: string[]) =>
    (await batchesOf(ids)).every(({ status }) => status === "finalizing");
  await engine.runUntil(() => ended(small), 100);
  const done = (await batchesOf(large)).map(({ counts }) => counts.completed);
  expect(Math.max(...done)).toBeLessThan(20);
  await engine.runUntil(() => ended(...large), 100);
  const prompts = [...simulator.prompts()];
  expect([prompts.length, prompts.filter(({ times }) => times > 1)]).toEqual([402, []]);
});

test("many batches of a paused model don't keep another model's from running, and all say why they wait", async () => {
  let isDown = true;
  let answers = 0;
  const backend = await ScriptedBackend.start({
    onPost: ({ response, body }) => {
      const { model } = JSON.parse(body) as { model: string };
      if (isDown && model === "down") answer(response, 503, "{}");
      // When it is back, one answer shows it, and the others take their time.
      else if (model === "up" || answers++ === 0) {
        answer(response, 200, JSON.stringify({ object: "list", data: [], model }));
      }
    },
  });
  cleanup.use(backend);
  const { baseUrl } = backend;
  const engine = await startEngine(stage, { baseUrl, models: ["down", "up"], concurrency: 2 });
  cleanup.use(engine);
  // More than run at a time and are looked at in one go.
  const down: string[] = [];
  for (let at = 0; at < 230; at++) down.push(await planned(`down ${at}`, 1, "down"));
  const up = await planned("up", 3, "up");
  const reasons = async () =>
    new Set((await batchesOf(down)).map(({ waitingReason }) => waitingReason));
  await engine.runUntil(async () => (await batchOf(up)).status === "finalizing");
  expect((await batchOf(up)).waitingReason).toBeNull();
  await engine.runUntil(async () => !(await reasons()).has(null));
  expect(await reasons()).toEqual(new Set(["upstream gpu is unavailable (503)"]));
  expect((await batchesOf(down)).every(({ counts }) => counts.completed === 0)).toBe(true);
  isDown = false;
  // Those that nobody looks at wait for nothing but their turn.
  await engine.runUntil(async () => {
    const waiting = (await batchesOf(down)).filter(({ status }) => status === "in_progress");
    return waiting.length === 229 && waiting.every(({ waitingReason }) => waitingReason === null);
  });
});

test("many batches of a model that is busy, and many of one that nobody serves, hide none of another model", async () => {
  const backend = await ScriptedBackend.start({
    onPost: ({ response, body }) => {
      const { model } = JSON.parse(body) as { model: string };
      // What is busy takes longer than this test.
      if (model === "up")
        answer(response, 200, JSON.stringify({ object: "list", data: [], model }));
    },
  });
  cleanup.use(backend);
  const { baseUrl } = backend;
  const engine = await startEngine(stage, { baseUrl, models: ["busy", "up"], concurrency: 2 });
  cleanup.use(engine);
  // Of each more than are listed in one go.
  for (const model of ["gone", "busy"]) {
    for (let at = 0; at < 210; at++) await planned(`${model} ${at}`, 1, model);
  }
  const up = await planned("up", 30, "up");
  await engine.runUntil(async () => (await batchOf(up)).status === "finalizing");
  expect((await batchOf(up)).counts.completed).toBe(30);
});
