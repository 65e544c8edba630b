// Lines whose answers are jobs, from their POST to the end of the job, against a scripted backend; time
// passes only while a test waits.
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type EngineStage, openEngineStage } from "../../test/support/engine-stage.ts";
import { resultLines } from "../../test/support/result-lines.ts";
import {
  fakeTimers,
  type RunningEngine,
  type RunningEngineOptions,
  startEngine,
} from "../../test/support/running-engine.ts";
import { answer, type Received, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import { type Batch, terminalStatuses } from "../core/batch.ts";

let stage: EngineStage;
let cleanup: AsyncDisposableStack;
let backend: ScriptedBackend;
/** Prompts in the order in which their jobs were begun, the id of each being its place. */
const begun: string[] = [];
/** What is said of a job at its first look, its second, and so on; the last one stays. */
let states: (string | ((response: ServerResponse) => void))[];
/** Looks at each job. */
const looks = new Map<string, number>();

function begin({ body, response }: Received): void {
  const { prompt } = JSON.parse(body) as { prompt: string };
  const id = `video_${begun.push(prompt)}`;
  answer(response, 200, JSON.stringify({ id, object: "video", status: "queued", prompt }));
}

function look(request: IncomingMessage, response: ServerResponse): void {
  const id = request.url!.slice("/v1/videos/".length);
  const count = looks.get(id) ?? 0;
  looks.set(id, count + 1);
  const state = states[Math.min(count, states.length - 1)]!;
  if (typeof state === "string") answer(response, 200, JSON.stringify({ id, status: state }));
  else state(response);
}

beforeEach(async () => {
  fakeTimers();
  stage = await openEngineStage();
  cleanup = new AsyncDisposableStack();
  cleanup.use(stage);
  begun.length = 0;
  looks.clear();
  states = ["in_progress", "completed"];
  backend = await ScriptedBackend.start({ onPost: begin, onGet: look });
  cleanup.use(backend);
});

afterEach(async () => {
  await cleanup.disposeAsync();
  vi.useRealTimers();
});

async function startedEngine(options: Partial<RunningEngineOptions> = {}): Promise<RunningEngine> {
  const engine = await startEngine(stage, { baseUrl: backend.baseUrl, ...options });
  cleanup.use(engine);
  return engine;
}

function videoLine(prompt: string): string {
  const body = { model: "simulated-model", prompt };
  return JSON.stringify({ custom_id: prompt, method: "POST", url: "/v1/videos", body });
}

const planned = (...prompts: string[]) =>
  stage.planBatch(prompts.map(videoLine), { endpoint: "/v1/videos" });
const batchOf = async (id: string): Promise<Batch> =>
  (await stage.store.batches.get("default", id))!;

async function finished(engine: RunningEngine, id: string) {
  await engine.runUntil(async () => {
    await engine.assembler.tick(new AbortController().signal);
    return terminalStatuses.includes((await batchOf(id)).status);
  });
  return resultLines(stage, await batchOf(id));
}

describe("a job", () => {
  test("is followed to its end, whose object is the line's result", async () => {
    const id = await planned("a", "b", "c");
    const { output, errors } = await finished(await startedEngine({ concurrency: 2 }), id);
    expect(errors).toEqual([]);
    expect(output.map(({ custom_id, response }) => [custom_id, response])).toMatchObject([
      ["a", { status_code: 200, body: { id: "video_1", status: "completed" } }],
      ["b", { status_code: 200, body: { id: "video_2", status: "completed" } }],
      ["c", { status_code: 200, body: { id: "video_3", status: "completed" } }],
    ]);
    expect(begun).toEqual(["a", "b", "c"]);
    expect([...looks.values()]).toEqual([2, 2, 2]);
  });

  test.each(["failed", "expired", "cancelled"])("that %s is a result too", async (status) => {
    states = [status];
    const { output } = await finished(await startedEngine(), await planned("a"));
    expect(output).toMatchObject([{ response: { status_code: 200, body: { status } } }]);
  });

  test("is looked at after a second, and then ever less often, ten seconds apart at most", async () => {
    const at: number[] = [];
    const note = (response: ServerResponse) => {
      at.push(stage.clock.monotonicMs());
      answer(response, 200, '{"id":"video_1","status":"in_progress"}');
    };
    states = [...Array.from({ length: 12 }, () => note), "completed"];
    await finished(await startedEngine(), await planned("a"));
    const pauses = at.slice(1).map((time, n) => (time - at[n]!) / 1_000);
    expect(pauses[0]).toBeGreaterThan(1);
    expect(pauses.every((seconds, n) => n === 0 || seconds >= pauses[n - 1]! - 0.2)).toBe(true);
    expect(Math.max(...pauses)).toBeLessThan(11);
    expect(pauses.at(-1)).toBeGreaterThan(9);
  });

  test("holds its place on the lane until it has ended", async () => {
    states = ["in_progress"];
    const engine = await startedEngine({ concurrency: 2 });
    await planned("a", "b", "c");
    await engine.runUntil(() => looks.get("video_1")! >= 3);
    expect(begun).toEqual(["a", "b"]);
    expect(engine.lanes.lanesFor("/v1/videos", "simulated-model")[0]!.inFlight).toBe(2);
  });

  test("that has ended at once is not looked at; nor is an answer that is no job", async () => {
    backend.script.onPost = ({ response, body }) =>
      answer(response, 200, body.includes('"a"') ? '{"id":"v","status":"completed"}' : '{"x":1}');
    const { output } = await finished(await startedEngine(), await planned("a", "b"));
    expect(output.map(({ response }) => response!.body)).toEqual([
      { id: "v", status: "completed" },
      { x: 1 },
    ]);
    expect(looks.size).toBe(0);
  });
});

describe("while a job runs", () => {
  test.each([401, 429, 500, 503])(
    "a look answered %i pauses the lane, says why, and looking goes on",
    async (status) => {
      states = [(response) => answer(response, status, "{}"), "in_progress"];
      const id = await planned("a");
      const engine = await startedEngine();
      await engine.runUntil(async () => (await batchOf(id)).waitingReason !== null);
      expect((await batchOf(id)).waitingReason).toContain(`(${status})`.replace("(500)", "500"));
      await engine.runUntil(async () => (await batchOf(id)).waitingReason === null);
      states = ["completed"];
      const { output } = await finished(engine, id);
      expect(output).toHaveLength(1);
      expect(begun).toEqual(["a"]);
    },
  );

  test("a backend that dies makes no suspects: the lane waits, and the job is looked for again", async () => {
    states = ["in_progress"];
    const id = await planned("a", "b");
    const engine = await startedEngine();
    await engine.runUntil(() => looks.size === 2);
    backend.die();
    await engine.runUntil(async () => (await batchOf(id)).waitingReason !== null);
    await backend.listen();
    states = ["completed"];
    const { output } = await finished(engine, id);
    expect(output).toHaveLength(2);
    expect(begun).toEqual(["a", "b"]);
  });

  test("looks that show nothing of it pause nobody, and a few of them are no loss", async () => {
    const blank = (response: ServerResponse) => answer(response, 200, "<html>log in</html>");
    const other = (response: ServerResponse) => answer(response, 200, '{"id":"video_1"}');
    states = [...Array.from({ length: 9 }, () => blank), "in_progress", other, "completed"];
    const id = await planned("a");
    const engine = await startedEngine();
    const reasons = new Set<string | null>();
    await engine.runUntil(async () => {
      reasons.add((await batchOf(id)).waitingReason);
      return looks.get("video_1") === 12;
    });
    const { output } = await finished(engine, id);
    expect(output).toHaveLength(1);
    expect(begun).toEqual(["a"]);
    expect([...reasons]).toEqual([null]);
  });

  test("and nothing but such looks, it is lost", async () => {
    states = [(response) => answer(response, 200, "{}")];
    const { errors } = await finished(await startedEngine({ maxAttempts: 2 }), await planned("a"));
    expect(errors).toMatchObject([{ error: { code: "job_lost" } }]);
    expect([...looks.values()]).toEqual([10, 10]);
  });

  test.each([".", ".."])("whose id is %j is none: it would be another path", async (id) => {
    backend.script.onPost = ({ response }) =>
      answer(response, 200, JSON.stringify({ id, status: "queued" }));
    const { output } = await finished(await startedEngine(), await planned("a"));
    expect(output).toHaveLength(1);
    expect(looks.size).toBe(0);
  });

  test("and is lost (404), the line is begun anew, as another of its attempts", async () => {
    states = [(response) => answer(response, 404, "{}")];
    const { errors } = await finished(await startedEngine({ maxAttempts: 3 }), await planned("a"));
    expect(errors).toMatchObject([
      { error: { code: "job_lost", message: expect.stringContaining("video_3") } },
    ]);
    expect(begun).toEqual(["a", "a", "a"]);
  });

  test("a cancel lets it go on for the grace time, and then ends the line", async () => {
    states = ["in_progress"];
    const id = await planned("a");
    const engine = await startedEngine({ cancelGraceMs: 2_000 });
    await engine.runUntil(() => looks.size === 1);
    await stage.store.batches.requestCancel("default", id, stage.clock.now());
    const { errors } = await finished(engine, id);
    expect(errors).toMatchObject([{ error: { code: "batch_cancelled" } }]);
  });

  test("and the shard changes hands, its next owner follows it: nothing is begun twice", async () => {
    states = ["in_progress"];
    const id = await planned("a", "b");
    const first = await startedEngine({ cancelGraceMs: 0 });
    await first.runUntil(() => looks.size === 2);
    await first.runner.stop("shutdown");
    states = ["completed"];
    const second = await startedEngine({ owner: "node-2" });
    const { output } = await finished(second, id);
    expect(output.map(({ response }) => response!.body["id"])).toEqual(["video_1", "video_2"]);
    expect(begun).toEqual(["a", "b"]);
  });

  test("and its upstream is taken out of the configuration, the line is begun elsewhere", async () => {
    states = ["in_progress"];
    const id = await planned("a");
    const first = await startedEngine({ cancelGraceMs: 0 });
    await first.runUntil(() => looks.size === 1);
    await first.runner.stop("shutdown");
    states = ["completed"];
    const second = await startedEngine({ owner: "node-2", upstreamName: "another" });
    const { output } = await finished(second, id);
    expect(output).toMatchObject([{ response: { body: { id: "video_2" } } }]);
  });
});
