// Shards from their claim to their end, against a simulated upstream; time passes only while a test
// waits. What whole processes do with killed servers and long outages: test/faults.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { type ResultLine, resultLines } from "../../test/support/result-lines.ts";
import {
  fakeTimers,
  type RunningEngine,
  type RunningEngineOptions,
  startEngine,
} from "../../test/support/running-engine.ts";
import { type Batch, terminalStatuses } from "../core/batch.ts";
import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import { StorageUnavailableError } from "../core/store.ts";
import type { SimulatorOptions } from "../simulator/options.ts";
import { Simulator } from "../simulator/simulator.ts";
import { JOURNAL_HEADER_BYTES } from "./journal-record.ts";

let stage: EngineStage;
let cleanup: AsyncDisposableStack;
let simulator: Simulator;

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

async function simulate(options: SimulatorOptions = {}): Promise<void> {
  simulator = new Simulator(options);
  cleanup.use(simulator);
  await simulator.start();
}

async function startedEngine(options: Partial<RunningEngineOptions> = {}): Promise<RunningEngine> {
  const engine = await startEngine(stage, { baseUrl: simulator.baseUrl, ...options });
  cleanup.use(engine);
  return engine;
}

const planned = (texts: readonly string[], shardLines = 1_000) =>
  stage.planBatch(
    texts.map((text) => embeddingLine(text)),
    { shardLines },
  );

const batchOf = async (id: string): Promise<Batch> =>
  (await stage.store.batches.get("default", id))!;
const numbered = (count: number) => Array.from({ length: count }, (_, n) => `text ${n}`);
const sent = () => new Map([...simulator.prompts()].map(({ prompt, times }) => [prompt, times]));

/** Works until the batch has ended; answers it and what its files say. */
async function finished(engine: RunningEngine, id: string, stepMs?: number) {
  await engine.runUntil(async () => {
    await engine.assembler.tick(new AbortController().signal);
    return terminalStatuses.includes((await batchOf(id)).status);
  }, stepMs);
  const batch = await batchOf(id);
  return { batch, ...(await resultLines(stage, batch)) };
}

const idsOf = (lines: readonly ResultLine[]) => lines.map(({ custom_id: id }) => id);

describe("a batch", () => {
  test("of several shards is run line by line, each sent once, never more at a time than the limit", async () => {
    await simulate({ timeToFirstTokenMs: 30 });
    const engine = await startedEngine({ concurrency: 3 });
    const texts = numbered(50);
    const id = await planned(texts, 7);
    const { batch, output, errors } = await finished(engine, id);
    expect(batch).toMatchObject({
      status: "completed",
      counts: { total: 50, completed: 50, failed: 0 },
      model: "simulated-model",
    });
    expect([idsOf(output), errors]).toEqual([texts, []]);
    expect(sent()).toEqual(new Map(texts.map((text) => [text, 1])));
    expect(simulator.stats().peakInFlight).toBe(3);
    expect(engine.lanes.lanesFor("/v1/embeddings", "simulated-model")[0]!.inFlight).toBe(0);
  });

  test("that names an alias is sent with the name the upstream knows, the rest as the client wrote it", async () => {
    await simulate({ models: ["real"] });
    const engine = await startedEngine({ models: ["real"] });
    const id = await stage.planBatch(
      ["a", "b"].map((text) => embeddingLine(text, "alias")),
      { resolve: () => "real" },
    );
    const { output } = await finished(engine, id);
    expect(output.map(({ response }) => response!.body.model)).toEqual(["real", "real"]);
    expect([...sent().keys()]).toEqual(["a", "b"]);
  });

  test("answers too large for the journal are whole in the files", async () => {
    await simulate();
    const engine = await startedEngine();
    const large = Array.from({ length: 60 }, (_, n) => `part ${n}`);
    const lines = [
      embeddingLine("small"),
      JSON.stringify({
        custom_id: "large",
        method: "POST",
        url: "/v1/embeddings",
        body: { model: "simulated-model", input: large, dimensions: 2_048 },
      }),
      embeddingLine("small too"),
    ];
    const { output } = await finished(engine, await stage.planBatch(lines));
    expect(idsOf(output)).toEqual(["small", "large", "small too"]);
    const { data } = output[1]!.response!.body as { data: { embedding: number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual(large.map(() => 2_048));
    expect(JSON.stringify(output[1]).length).toBeGreaterThan(1024 * 1024);
  });
});

describe("a line", () => {
  test("that fails for a while gets its other attempts; one that goes on failing ends with what was said last", async () => {
    await simulate();
    const engine = await startedEngine({ maxAttempts: 3 });
    const texts = [
      "good",
      "[simulate: 500 x2] late",
      "[simulate: 500] never",
      "[simulate: 400] bad",
    ];
    const { output, errors, batch } = await finished(engine, await planned(texts));
    expect(idsOf(output)).toEqual(["good", "[simulate: 500 x2] late"]);
    expect(errors.map((line) => [line.custom_id, line.response?.status_code, line.error])).toEqual([
      ["[simulate: 500] never", 500, null],
      ["[simulate: 400] bad", 400, null],
    ]);
    expect([...sent().values()]).toEqual([1, 3, 3, 1]);
    expect(batch.counts).toEqual({ total: 4, completed: 2, failed: 2 });
  });

  test("whose answer never comes, is broken or too large ends as an error that says so", async () => {
    await simulate();
    const engine = await startedEngine({
      maxAttempts: 2,
      requestTimeoutMs: 2_000,
      answerSizeBytes: 20_000,
    });
    const big = JSON.stringify({
      custom_id: "big",
      method: "POST",
      url: "/v1/embeddings",
      body: { model: "simulated-model", input: "big", dimensions: 2_048 },
    });
    const texts = ["[simulate: hang]", "[simulate: cut]", "[simulate: garbage]"];
    const id = await stage.planBatch([...texts.map((text) => embeddingLine(text)), big]);
    const { output, errors } = await finished(engine, id);
    expect(output).toEqual([]);
    const codes = errors.map(({ error, response }) => error?.code ?? response?.body.error?.code);
    expect(codes).toEqual([
      "request_timeout",
      "upstream_unreachable",
      "invalid_upstream_answer",
      "answer_too_large",
    ]);
    expect([...sent().values()]).toEqual([2, 2, 2, 2]);
  });

  test("that kills its server is found: sent alone and last, and failed after three deaths; no other line is", async () => {
    await simulate({ crashDowntimeMs: 200, timeToFirstTokenMs: 20 });
    const engine = await startedEngine({ concurrency: 4 });
    const texts = numbered(30);
    texts[1] = "[simulate: crash] poison";
    const { output, errors } = await finished(engine, await planned(texts, 10));
    expect(errors.map(({ custom_id: id, error }) => [id, error])).toEqual([
      [
        texts[1],
        {
          code: "upstream_crashed",
          message: "The model's server died 3 times while this request was the only one it had.",
        },
      ],
    ]);
    expect(idsOf(output)).toEqual(texts.filter((_, at) => at !== 1));
    expect(sent().get(texts[1])).toBe(4);
  });
});

describe("an outage", () => {
  test.each(["refuse", "503", "401"] as const)(
    "(%s) pauses the work, says why, fails no line, and ends by itself",
    async (mode) => {
      await simulate({ timeToFirstTokenMs: 20 });
      const engine = await startedEngine();
      const id = await planned(numbered(20));
      await engine.runUntil(() => simulator.stats().answered >= 5);
      await simulator.setMode(mode);
      await engine.runUntil(async () => (await batchOf(id)).waitingReason !== null);
      expect((await batchOf(id)).waitingReason).toMatch(/^upstream gpu /);
      const { requests } = simulator.stats();
      const since = stage.clock.now();
      await engine.runUntil(() => stage.clock.now() - since > 60_000, 250);
      // Probed, not hammered.
      expect(simulator.stats().requests - requests).toBeLessThan(15);
      await simulator.setMode("ok");
      const { batch, output } = await finished(engine, id, 250);
      expect(batch).toMatchObject({ counts: { completed: 20, failed: 0 }, waitingReason: null });
      expect(idsOf(output)).toEqual(numbered(20));
    },
  );
});

describe("what stops a run", () => {
  const isLogged = (message: string) => stage.logged().some(({ msg }) => msg === message);
  const hanging = (count: number) => numbered(count).map((text) => `[simulate: hang] ${text}`);

  test("a cancel lets lines in flight finish, and no longer than the grace time", async () => {
    await simulate({ timeToFirstTokenMs: 1_000 });
    const engine = await startedEngine({ concurrency: 4, cancelGraceMs: 5_000 });
    const texts = ["quick", ...hanging(2), ...numbered(20)];
    const id = await planned(texts);
    await engine.runUntil(() => simulator.stats().inFlight === 4);
    await stage.store.batches.requestCancel("default", id, stage.clock.now());
    const cancelledAt = stage.clock.now();
    const { batch, output, errors } = await finished(engine, id);
    expect(batch).toMatchObject({
      status: "cancelled",
      counts: { total: 23, completed: 2, failed: 0 },
    });
    expect(stage.clock.now() - cancelledAt).toBeLessThan(7_000);
    expect(idsOf(output)).toEqual(["quick", "text 0"]);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array(21).fill("batch_cancelled"));
    expect(simulator.stats().requests).toBe(4);
  });

  test("the end of the window stops at once, and keeps what is finished", async () => {
    await simulate({ timeToFirstTokenMs: 100 });
    const engine = await startedEngine({ concurrency: 2 });
    const texts = ["quick", ...hanging(3)];
    const id = await planned(texts);
    await engine.runUntil(async () => (await batchOf(id)).counts.completed === 1);
    stage.clock.pass(86_400_000);
    const { batch, output, errors } = await finished(engine, id);
    expect(batch).toMatchObject({
      status: "expired",
      counts: { total: 4, completed: 1, failed: 0 },
    });
    expect(idsOf(output)).toEqual(["quick"]);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array(3).fill("batch_expired"));
  });

  test("a shutdown hands the shards back; who comes next sends nothing again that was recorded", async () => {
    await simulate({ timeToFirstTokenMs: 100 });
    const first = await startedEngine({ concurrency: 2 });
    const texts = numbered(12);
    const id = await planned(texts, 4);
    await first.runUntil(() => simulator.stats().answered >= 5);
    let isStopped = false;
    void first.runner.stop("shutdown").then(() => (isStopped = true));
    await first.waitUntil(() => isStopped);
    const kept = (await batchOf(id)).counts.completed;
    expect(kept).toBeGreaterThanOrEqual(5);
    const second = await startedEngine({ owner: "node-2" });
    const { output } = await finished(second, id);
    expect(idsOf(output)).toEqual(texts);
    expect([...sent().values()]).toEqual(texts.map(() => 1));
  });

  test("a lease that another node took over: nothing more is sent or recorded under the old one", async () => {
    await simulate({ timeToFirstTokenMs: 100 });
    const engine = await startedEngine({ concurrency: 2 });
    const id = await planned([...numbered(4), ...hanging(6)]);
    await engine.runUntil(async () => (await batchOf(id)).counts.completed === 4);
    stage.clock.pass(60_000);
    const [taken] = await stage.store.shards.claimUnfinished(id, "node-2", 30_000);
    const { requests } = simulator.stats();
    await engine.runUntil(() => isLogged("claim lost to another node"));
    await engine.runUntil(() => simulator.stats().inFlight === 0);
    expect(engine.lanes.lanesFor("/v1/embeddings", "simulated-model")[0]!.inFlight).toBe(0);
    expect(simulator.stats().requests).toBe(requests);
    expect(taken!.epoch).toBe(2);
  });

  test("a suspended process sends nothing when it wakes, before it has renewed its lease", async () => {
    await simulate({ timeToFirstTokenMs: 100 });
    const engine = await startedEngine({ concurrency: 1 });
    const id = await planned(numbered(10));
    await engine.runUntil(() => simulator.stats().inFlight === 1);
    stage.clock.pass(25_000);
    vi.advanceTimersByTime(100);
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
    expect(simulator.stats().answered).toBe(1);
    expect(simulator.stats().requests).toBe(1);
    const { output } = await finished(engine, id);
    expect(idsOf(output)).toEqual(numbered(10));
  });

  test("a journal that can't be written: the shard is given back, tried again later, and no result is lost", async () => {
    await simulate({ timeToFirstTokenMs: 40 });
    let journals = 0;
    let broken = 0;
    const blobs: BlobStore = new Proxy(stage.blobs, {
      get: (target, name) => {
        if (name !== "createLog") return (Reflect.get(target, name) as () => unknown).bind(target);
        return async (key: string) => {
          const log = await target.createLog(key);
          const append = log.append.bind(log);
          const isBad = ++journals <= 2;
          log.append = async (parts) => {
            // The header fits, and nothing more.
            if (isBad && log.sizeBytes >= JOURNAL_HEADER_BYTES) {
              broken++;
              throw new Error("no space left on device");
            }
            await append(parts);
          };
          return log;
        };
      },
    });
    const engine = await startedEngine({ concurrency: 1, blobs });
    const texts = numbered(10);
    const id = await planned(texts);
    const { batch, output } = await finished(engine, id);
    expect(broken).toBe(2);
    expect(batch.counts).toEqual({ total: 10, completed: 10, failed: 0 });
    expect(idsOf(output)).toEqual(texts);
    expect(stage.logged().filter(({ level }) => level === "error")).toHaveLength(2);
  });

  test("an input that can't be read at present is not taken for damaged: it is tried again", async () => {
    await simulate({ timeToFirstTokenMs: 40 });
    let failures = 0;
    const blobs: BlobStore = new Proxy(stage.blobs, {
      get: (target, name) => {
        if (name !== "open") return (Reflect.get(target, name) as () => unknown).bind(target);
        return async (key: string) => {
          const reader = await target.open(key);
          if (!key.startsWith(blobKeys.files)) return reader;
          const read = reader.read.bind(reader);
          reader.read = async (...range) => {
            if (++failures > 2) return read(...range);
            throw new StorageUnavailableError("no route to host");
          };
          return reader;
        };
      },
    });
    const engine = await startedEngine({ concurrency: 1, blobs });
    const texts = numbered(10);
    const { batch, output } = await finished(engine, await planned(texts));
    expect(failures).toBeGreaterThan(2);
    expect(batch.counts).toEqual({ total: 10, completed: 10, failed: 0 });
    expect(idsOf(output)).toEqual(texts);
    expect(new Set(sent().values())).toEqual(new Set([1]));
  });

  test("where flushes are dear results are gathered, and nobody waits for them at the end", async () => {
    await simulate({ timeToFirstTokenMs: 1 });
    const blobs: BlobStore = new Proxy(stage.blobs, {
      get: (target, name) => {
        if (name !== "createLog") return (Reflect.get(target, name) as () => unknown).bind(target);
        // No test waits for so long.
        return async (key: string) =>
          Object.assign(await target.createLog(key), { appendEveryMs: 3_600_000 });
      },
    });
    const engine = await startedEngine({ concurrency: 3, blobs });
    const texts = numbered(20);
    const { batch, output } = await finished(engine, await planned(texts));
    expect(batch.counts).toEqual({ total: 20, completed: 20, failed: 0 });
    expect(idsOf(output)).toEqual(texts);
  });
});
