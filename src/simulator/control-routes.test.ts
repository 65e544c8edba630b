import { afterEach, describe, expect, it } from "vitest";
import type { SimulatorOptions } from "./options.ts";
import { Simulator } from "./simulator.ts";

const quick = { interval: 5, timeout: 10_000 };
let simulator: Simulator;
afterEach(() => simulator.stop());

async function start(options: SimulatorOptions = {}): Promise<void> {
  simulator = new Simulator(options);
  await simulator.start();
}

function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(`${simulator.origin}${path}`, { method: "POST", body: text, headers });
}

function embed(input: string): Promise<Response> {
  return post("/v1/embeddings", { model: "simulated-model", input });
}

async function stats(): Promise<unknown> {
  return (await fetch(`${simulator.origin}/simulator/stats`)).json();
}

const ZERO = {
  requests: 0,
  answered: 0,
  unanswered: 0,
  in_flight: 0,
  waiting: 0,
  running: 0,
  peak_in_flight: 0,
  peak_running: 0,
  by_status: {},
  distinct_prompts: 0,
  max_times_sent: 0,
  prompts_capped: false,
  mode: "ok",
};

describe("the report", () => {
  it("counts inference alone, and starts over on reset", async () => {
    await start();
    for (const path of ["/health", "/v1/models", "/v1/models/simulated-model", "/nowhere"]) {
      await (await fetch(simulator.origin + path)).arrayBuffer();
    }
    expect(await stats()).toEqual(ZERO);
    for (const input of ["a", "b", "a", "[simulate: 500]"]) await (await embed(input)).text();
    await (await post("/v1/embeddings", "no json")).text();
    expect(await stats()).toEqual({
      ...ZERO,
      requests: 5,
      answered: 5,
      peak_in_flight: 1,
      peak_running: 1,
      by_status: { 200: 3, 400: 1, 500: 1 },
      distinct_prompts: 3,
      max_times_sent: 2,
    });
    expect((await post("/simulator/reset", "")).status).toBe(200);
    expect(await stats()).toEqual(ZERO);
  });

  it("lists how often each prompt was sent, cut to 200 characters", async () => {
    await start();
    for (const input of ["a\nb", "x".repeat(300), "a\nb"]) await (await embed(input)).text();
    const report = await fetch(`${simulator.origin}/simulator/prompts`);
    const lines = (await report.text()).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { prompt: "a\nb", times: 2 },
      { prompt: "x".repeat(200), times: 1 },
    ]);
  });

  it("is complete when it is long", async () => {
    await start();
    const count = 1_000;
    const inputs = Array.from({ length: count }, (_, index) => `${index} ${"x".repeat(200)}`);
    for (let from = 0; from < count; from += 100) {
      await Promise.all(
        inputs.slice(from, from + 100).map(async (one) => (await embed(one)).text()),
      );
    }
    const report = await (await fetch(`${simulator.origin}/simulator/prompts`)).text();
    expect(report.trimEnd().split("\n")).toHaveLength(count);
  });
});

describe("the mode over HTTP", () => {
  it("changes, and spares the simulator's own routes", async () => {
    await start();
    expect(await (await post("/simulator/mode", { mode: "503" })).json()).toEqual({
      mode: "503",
      for_ms: null,
    });
    expect((await embed("a")).status).toBe(503);
    expect((await fetch(`${simulator.origin}/health`)).status).toBe(503);
    expect(await stats()).toMatchObject({ mode: "503" });
    await post("/simulator/mode", { mode: "ok" });
    expect((await embed("a")).status).toBe(200);
  });

  it("can refuse connections", async () => {
    await start();
    const answer = await post("/simulator/mode", { mode: "refuse", for_ms: 3_600_000 });
    expect(await answer.json()).toEqual({ mode: "refuse", for_ms: 3_600_000 });
    await expect.poll(() => simulator.mode, quick).toBe("refuse");
    await expect(embed("a")).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
    await simulator.setMode("ok");
    expect((await embed("a")).status).toBe(200);
  });

  it("ends by itself when set for a time", async () => {
    await start();
    await post("/simulator/mode", { mode: "503", for_ms: 20 });
    await expect.poll(() => simulator.mode, quick).toBe("ok");
  });

  it.each([
    ["", "mode"],
    ["null", "mode"],
    [{ mode: "maybe" }, "mode"],
    [{ mode: "refuse" }, "for_ms"],
    [{ mode: "hang", for_ms: "1" }, "for_ms"],
    [{ mode: "ok", for_ms: -1 }, "for_ms"],
  ])("refuses %j", async (body, param) => {
    await start();
    const answer = await post("/simulator/mode", body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param } });
    expect(simulator.mode).toBe("ok");
  });
});

describe("routes", () => {
  it.each([
    ["GET", "/nowhere", 404],
    ["POST", "/v1/audio/speech", 404],
    ["GET", "/v1/videos", 405],
    ["GET", "/v1/videos/video_other", 404],
    ["DELETE", "/v1/videos/video_other", 405],
    ["GET", "/v1/chat/completions", 405],
    ["POST", "/v1/models", 405],
    ["GET", "/simulator/reset", 405],
    ["GET", "/health?verbose=1", 200],
    ["GET", "/v1/models/vendor/name", 200],
    ["GET", "/v1/models/vendor%2Fname", 200],
    ["GET", "/v1/models/other", 404],
  ])("%s %s is %i", async (method, path, status) => {
    await start({ models: ["vendor/name"] });
    const answer = await fetch(simulator.origin + path, { method });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("x-offpeak-simulator")).toBe("true");
    if (status !== 200) {
      expect(await answer.json()).toMatchObject({ error: { message: expect.any(String) } });
    }
  });

  it("under /v1 want the key when there is one", async () => {
    await start({ apiKey: "sesame" });
    const right = { authorization: "Bearer sesame" };
    const body = { model: "simulated-model", input: "a" };
    expect((await post("/v1/embeddings", body, right)).status).toBe(200);
    for (const headers of [{}, { authorization: "Bearer other" }]) {
      const answer = await post("/v1/embeddings", body, headers);
      expect(answer.status).toBe(401);
      const { error } = (await answer.json()) as { error: { code: string; message: string } };
      expect(error.code).toBe("invalid_api_key");
      expect(error.message).not.toContain("sesame");
    }
    expect((await fetch(`${simulator.baseUrl}/models`)).status).toBe(401);
    expect((await fetch(`${simulator.baseUrl}/models`, { headers: right })).status).toBe(200);
    expect((await fetch(`${simulator.origin}/health`)).status).toBe(200);
    expect(await stats()).toMatchObject({ by_status: { 200: 1, 401: 2 }, distinct_prompts: 1 });
  });
});
