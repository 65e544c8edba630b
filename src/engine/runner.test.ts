// Shards from their claim to their end, against a simulated upstream; time passes only while a test
// waits. What whole processes do with killed servers and long outages: test/faults.
import { describe, expect, test, vi } from "vitest";
import { embeddingLine } from "../../test/support/engine-stage.ts";
import { idsOf, numbered, RunnerStage } from "../../test/support/runner-stage.ts";

const on = RunnerStage.forEachTest();

describe("a batch", () => {
  test("of several shards is run line by line, each sent once, never more at a time than the limit", async () => {
    await on.simulate({ timeToFirstTokenMs: 30 });
    const engine = await on.startedEngine({ concurrency: 3 });
    const texts = numbered(50);
    const id = await on.planned(texts, 7);
    const { batch, output, errors } = await on.finished(engine, id);
    expect(batch).toMatchObject({
      status: "completed",
      counts: { total: 50, completed: 50, failed: 0 },
      model: "simulated-model",
    });
    expect([idsOf(output), errors]).toEqual([texts, []]);
    expect(on.sent()).toEqual(new Map(texts.map((text) => [text, 1])));
    expect(on.simulator.stats().peakInFlight).toBe(3);
    expect(engine.lanes.lanesFor("/v1/embeddings", "simulated-model")[0]!.inFlight).toBe(0);
  });

  test("that names an alias is sent with the name the upstream knows, the rest as the client wrote it", async () => {
    await on.simulate({ models: ["real"] });
    const engine = await on.startedEngine({ models: ["real"] });
    const id = await on.stage.planBatch(
      ["a", "b"].map((text) => embeddingLine(text, "alias")),
      { resolve: () => "real" },
    );
    const { output } = await on.finished(engine, id);
    expect(output.map(({ response }) => response!.body.model)).toEqual(["real", "real"]);
    expect([...on.sent().keys()]).toEqual(["a", "b"]);
  });

  test("answers too large for the journal are whole in the files", async () => {
    await on.simulate();
    const engine = await on.startedEngine();
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
    const { output } = await on.finished(engine, await on.stage.planBatch(lines));
    expect(idsOf(output)).toEqual(["small", "large", "small too"]);
    const { data } = output[1]!.response!.body as { data: { embedding: number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual(large.map(() => 2_048));
    expect(JSON.stringify(output[1]).length).toBeGreaterThan(1024 * 1024);
  });
});

describe("a line", () => {
  test("that fails for a while gets its other attempts; one that goes on failing ends with what was said last", async () => {
    await on.simulate();
    const engine = await on.startedEngine({ maxAttempts: 3 });
    const texts = [
      "good",
      "[simulate: 500 x2] late",
      "[simulate: 500] never",
      "[simulate: 400] bad",
    ];
    const { output, errors, batch } = await on.finished(engine, await on.planned(texts));
    expect(idsOf(output)).toEqual(["good", "[simulate: 500 x2] late"]);
    expect(errors.map((line) => [line.custom_id, line.response?.status_code, line.error])).toEqual([
      ["[simulate: 500] never", 500, null],
      ["[simulate: 400] bad", 400, null],
    ]);
    expect([...on.sent().values()]).toEqual([1, 3, 3, 1]);
    expect(batch.counts).toEqual({ total: 4, completed: 2, failed: 2 });
  });

  test("whose answer never comes, is broken or too large ends as an error that says so", async () => {
    await on.simulate();
    const engine = await on.startedEngine({
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
    const id = await on.stage.planBatch([...texts.map((text) => embeddingLine(text)), big]);
    const { output, errors } = await on.finished(engine, id);
    expect(output).toEqual([]);
    const codes = errors.map(({ error, response }) => error?.code ?? response?.body.error?.code);
    expect(codes).toEqual([
      "request_timeout",
      "upstream_unreachable",
      "invalid_upstream_answer",
      "answer_too_large",
    ]);
    expect([...on.sent().values()]).toEqual([2, 2, 2, 2]);
  });

  test("that kills its server is found: sent alone and last, and failed after three deaths; no other line is", async () => {
    await on.simulate({ crashDowntimeMs: 200, timeToFirstTokenMs: 20 });
    const engine = await on.startedEngine({ concurrency: 4 });
    const texts = numbered(30);
    texts[1] = "[simulate: crash] poison";
    const { output, errors } = await on.finished(engine, await on.planned(texts, 10));
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
    expect(on.sent().get(texts[1])).toBe(4);
  });
});

describe("an outage", () => {
  test.each(["refuse", "503", "401"] as const)(
    "(%s) pauses the work, says why, fails no line, and ends by itself",
    async (mode) => {
      await on.simulate({ timeToFirstTokenMs: 20 });
      const engine = await on.startedEngine();
      const id = await on.planned(numbered(20));
      await engine.runUntil(() => on.simulator.stats().answered >= 5);
      await on.simulator.setMode(mode);
      await engine.runUntil(async () => (await on.batchOf(id)).waitingReason !== null);
      expect((await on.batchOf(id)).waitingReason).toMatch(/^upstream gpu /);
      const { requests } = on.simulator.stats();
      const since = on.stage.clock.now();
      await engine.runUntil(() => on.stage.clock.now() - since > 60_000, 250);
      // Probed, not hammered.
      expect(on.simulator.stats().requests - requests).toBeLessThan(15);
      await on.simulator.setMode("ok");
      const { batch, output } = await on.finished(engine, id, 250);
      expect(batch).toMatchObject({ counts: { completed: 20, failed: 0 }, waitingReason: null });
      expect(idsOf(output)).toEqual(numbered(20));
    },
  );
});

describe("what stops a run", () => {
  const hanging = (count: number) => numbered(count).map((text) => `[simulate: hang] ${text}`);

  test("a cancel lets lines in flight finish, and no longer than the grace time", async () => {
    await on.simulate({ timeToFirstTokenMs: 1_000 });
    const engine = await on.startedEngine({ concurrency: 4, cancelGraceMs: 5_000 });
    const texts = ["quick", ...hanging(2), ...numbered(20)];
    const id = await on.planned(texts);
    await engine.runUntil(() => on.simulator.stats().inFlight === 4);
    await on.stage.store.batches.requestCancel("default", id, on.stage.clock.now());
    const cancelledAt = on.stage.clock.now();
    const { batch, output, errors } = await on.finished(engine, id);
    expect(batch).toMatchObject({
      status: "cancelled",
      counts: { total: 23, completed: 2, failed: 0 },
    });
    expect(on.stage.clock.now() - cancelledAt).toBeLessThan(7_000);
    expect(idsOf(output)).toEqual(["quick", "text 0"]);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array(21).fill("batch_cancelled"));
    expect(on.simulator.stats().requests).toBe(4);
  });

  test("the end of the window stops at once, and keeps what is finished", async () => {
    await on.simulate({ timeToFirstTokenMs: 100 });
    const engine = await on.startedEngine({ concurrency: 2 });
    const texts = ["quick", ...hanging(3)];
    const id = await on.planned(texts);
    await engine.runUntil(async () => (await on.batchOf(id)).counts.completed === 1);
    on.stage.clock.pass(86_400_000);
    const { batch, output, errors } = await on.finished(engine, id);
    expect(batch).toMatchObject({
      status: "expired",
      counts: { total: 4, completed: 1, failed: 0 },
    });
    expect(idsOf(output)).toEqual(["quick"]);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array(3).fill("batch_expired"));
  });

  test("a shutdown hands the shards back; who comes next sends nothing again that was recorded", async () => {
    await on.simulate({ timeToFirstTokenMs: 100 });
    const first = await on.startedEngine({ concurrency: 2 });
    const texts = numbered(12);
    const id = await on.planned(texts, 4);
    await first.runUntil(() => on.simulator.stats().answered >= 5);
    let isStopped = false;
    void first.runner.stop("shutdown").then(() => (isStopped = true));
    await first.waitUntil(() => isStopped);
    const kept = (await on.batchOf(id)).counts.completed;
    expect(kept).toBeGreaterThanOrEqual(5);
    const second = await on.startedEngine({ owner: "node-2" });
    const { output } = await on.finished(second, id);
    expect(idsOf(output)).toEqual(texts);
    expect([...on.sent().values()]).toEqual(texts.map(() => 1));
  });

  test("a lease that another node took over: nothing more is sent or recorded under the old one", async () => {
    await on.simulate({ timeToFirstTokenMs: 100 });
    const engine = await on.startedEngine({ concurrency: 2 });
    const id = await on.planned([...numbered(4), ...hanging(6)]);
    await engine.runUntil(async () => (await on.batchOf(id)).counts.completed === 4);
    on.stage.clock.pass(60_000);
    const [taken] = await on.stage.store.shards.claimUnfinished(id, "node-2", 30_000);
    const { requests } = on.simulator.stats();
    await engine.runUntil(() => on.isLogged("claim lost to another owner"));
    await engine.runUntil(() => on.simulator.stats().inFlight === 0);
    expect(engine.lanes.lanesFor("/v1/embeddings", "simulated-model")[0]!.inFlight).toBe(0);
    expect(on.simulator.stats().requests).toBe(requests);
    expect(taken!.epoch).toBe(2);
  });

  test("a shard whose lease had run out is claimed again by the same node: only the newer run goes on", async () => {
    await on.simulate({ timeToFirstTokenMs: 100 });
    const engine = await on.startedEngine({ concurrency: 2 });
    const texts = numbered(10);
    const id = await on.planned(texts);
    await engine.runUntil(() => on.simulator.stats().answered >= 4);
    // No renewal comes in between.
    on.stage.clock.pass(30_001);
    const { output, batch } = await on.finished(engine, id);
    expect(batch.counts).toEqual({ total: 10, completed: 10, failed: 0 });
    expect(idsOf(output)).toEqual(texts);
    expect(on.isLogged("claim lost to another owner")).toBe(true);
    expect(Math.max(...on.sent().values())).toBeLessThanOrEqual(2);
    const left = engine.runner.stop("shutdown");
    await engine.waitUntil(async () => (await left, true));
  });

  test("a suspended process sends nothing when it wakes, before it has renewed its lease", async () => {
    await on.simulate({ timeToFirstTokenMs: 100 });
    const engine = await on.startedEngine({ concurrency: 1 });
    const id = await on.planned(numbered(10));
    await engine.runUntil(() => on.simulator.stats().inFlight === 1);
    on.stage.clock.pass(25_000);
    vi.advanceTimersByTime(100);
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
    expect(on.simulator.stats().answered).toBe(1);
    expect(on.simulator.stats().requests).toBe(1);
    const { output } = await on.finished(engine, id);
    expect(idsOf(output)).toEqual(numbered(10));
  });
});
