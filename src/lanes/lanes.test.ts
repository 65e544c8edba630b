import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { defaultUpstreamEndpoints } from "../core/endpoints.ts";
import type { ModelStore, Store } from "../core/store.ts";
import { createLog } from "../observability/log.ts";
import { createMetrics } from "../observability/metrics.ts";
import { Simulator } from "../simulator/simulator.ts";
import { openSqliteStore } from "../storage/sql/sqlite.ts";
import { HttpUpstream } from "../upstream/http-upstream.ts";
import { Lanes, wholeLimit } from "./lanes.ts";

const CHAT = "/v1/chat/completions";
const EMBED = "/v1/embeddings";
const patience = { interval: 2, timeout: 5_000 };

let store: Store;
let closers: (() => Promise<unknown> | void)[];
let logged: string[];

beforeEach(async () => {
  store = await openSqliteStore({ path: ":memory:", clock: new FakeClock() });
  closers = [() => store.close()];
  logged = [];
});

afterEach(async () => {
  vi.useRealTimers();
  for (const close of closers.toReversed()) await close();
});

async function simulatorOf(models: string[]): Promise<Simulator> {
  const simulator = new Simulator({ models });
  await simulator.start();
  closers.push(() => simulator.stop());
  return simulator;
}

interface UpstreamSetup {
  name: string;
  url?: string;
  models?: string[];
  endpoints?: readonly string[];
  concurrency?: number;
}

function lanesOf(
  upstreams: UpstreamSetup[],
  modelAliases: Record<string, string> = {},
  models: ModelStore = store.models,
): Lanes {
  const clock = new FakeClock();
  const lanes = new Lanes({
    share: wholeLimit,
    upstreams: upstreams.map(({ name, url, models: configured, endpoints, concurrency }) => {
      const upstream = new HttpUpstream({
        name,
        baseUrls: [url ?? "http://127.0.0.1:1/v1"],
        apiKey: null,
        models: configured ?? null,
        endpoints: endpoints ?? defaultUpstreamEndpoints,
        attachments: "multipart",
        requestTimeoutMs: 1_000,
        answerSizeBytes: 1_000_000,
        clock,
      });
      closers.push(() => upstream.close());
      return { upstream, concurrency: concurrency ?? 4 };
    }),
    modelAliases,
    models,
    clock,
    log: createLog("info", { write: (line) => logged.push(line) }),
    metrics: createMetrics(null),
  });
  closers.push(() => lanes.close());
  return lanes;
}

const until = (condition: () => void | Promise<void>) => vi.waitFor(condition, patience);

describe("models by configuration", () => {
  test("are known at once, for the endpoints the upstream serves", async () => {
    const lanes = lanesOf([
      { name: "a", models: ["m", "n"], endpoints: [CHAT] },
      { name: "b", models: ["m"], endpoints: [CHAT, EMBED] },
    ]);
    await lanes.start();
    expect(lanes.serves(CHAT, "m")).toBe(true);
    expect(lanes.serves(EMBED, "n")).toBe(false);
    expect([lanes.servesEndpoint(EMBED), lanes.servesEndpoint("/v1/videos")]).toEqual([
      true,
      false,
    ]);
    expect([lanes.names(), lanes.names(EMBED)]).toEqual([["m", "n"], ["m"]]);
    expect(lanes.unknownBecause(CHAT)).toBeNull();
    expect(lanes.lanesFor(CHAT, "m").map(({ upstream }) => upstream.name)).toEqual(["a", "b"]);
    expect(lanes.lanesFor(EMBED, "m").map(({ upstream }) => upstream.name)).toEqual(["b"]);
    expect(lanes.lanesFor(CHAT, "other")).toEqual([]);
    expect(lanes.report()).toEqual([
      { upstream: "a", model: null, state: "ok", reason: null },
      { upstream: "b", model: null, state: "ok", reason: null },
      { upstream: "a", model: "m", state: "ok", reason: null },
      { upstream: "b", model: "m", state: "ok", reason: null },
    ]);
  });

  test("are not stored, nor asked for", async () => {
    const simulator = await simulatorOf(["other"]);
    const lanes = lanesOf([{ name: "a", url: simulator.baseUrl, models: ["m"] }]);
    await lanes.start();
    expect(lanes.names()).toEqual(["m"]);
    expect(await store.models.all()).toEqual(new Map());
  });

  test("the same lane is answered every time, and each has the limit of its upstream", async () => {
    const lanes = lanesOf([{ name: "a", models: ["m", "n"], concurrency: 7 }]);
    const [lane] = lanes.lanesFor(CHAT, "m");
    expect(lanes.lanesFor(EMBED, "m")).toEqual([lane]);
    expect(lanes.lanesFor(CHAT, "n")).not.toEqual([lane]);
    expect(lane!.concurrency).toBe(7);
  });

  test("a request that names no model goes wherever the endpoint is served", () => {
    const lanes = lanesOf([
      { name: "a", endpoints: [CHAT] },
      { name: "b", endpoints: ["/v1/moderations"] },
    ]);
    expect(lanes.serves("/v1/moderations", "")).toBe(true);
    expect(lanes.lanesFor("/v1/moderations", "").map(({ upstream }) => upstream.name)).toEqual([
      "b",
    ]);
    expect(lanes.serves("/v1/videos", "")).toBe(false);
  });
});

describe("aliases", () => {
  test("stand for a model, and are names where it is served", () => {
    const lanes = lanesOf([{ name: "a", models: ["m"] }], { gpt: "m", other: "unknown" });
    expect([lanes.resolve("gpt"), lanes.resolve("m"), lanes.resolve("")]).toEqual(["m", "m", ""]);
    expect(lanes.names()).toEqual(["gpt", "m"]);
    expect([lanes.serves(CHAT, "gpt"), lanes.serves(CHAT, lanes.resolve("gpt"))]).toEqual([
      false,
      true,
    ]);
  });

  test.each(["constructor", "__proto__", "toString"])("a model called %s is no alias", (name) => {
    expect(lanesOf([{ name: "a", models: ["m"] }], { gpt: "m" }).resolve(name)).toBe(name);
  });
});

describe("discovery", () => {
  test("finds the models, tells listeners, and stores them", async () => {
    const simulator = await simulatorOf(["m1", "m2"]);
    const lanes = lanesOf([{ name: "sim", url: simulator.baseUrl }]);
    const onChange = vi.fn<() => void>();
    lanes.onChange(onChange);
    expect(lanes.unknownBecause(CHAT)).toBe(
      "waiting for upstream sim to list its models (no answer yet)",
    );
    expect(lanes.report()[0]).toMatchObject({ state: "models-unknown", reason: "no answer yet" });
    await lanes.start();
    await until(() => expect(lanes.names()).toEqual(["m1", "m2"]));
    expect(lanes.unknownBecause(CHAT)).toBeNull();
    expect(onChange).toHaveBeenCalled();
    await until(async () =>
      expect(await store.models.all()).toEqual(new Map([["sim", ["m1", "m2"]]])),
    );
  });

  test("is tried again while the upstream does not answer, and says why", async () => {
    const simulator = await simulatorOf(["m"]);
    await simulator.setMode("refuse");
    const lanes = lanesOf([{ name: "sim", url: simulator.baseUrl }]);
    await lanes.start();
    await until(() => expect(lanes.unknownBecause(CHAT)).toContain("ECONNREFUSED"));
    expect(lanes.serves(CHAT, "m")).toBe(false);
    expect(lanes.report()[0]).toMatchObject({
      upstream: "sim",
      state: "models-unknown",
      reason: expect.stringContaining(`GET ${simulator.baseUrl}/models`),
    });
    await simulator.setMode("ok");
    await until(() => expect(lanes.serves(CHAT, "m")).toBe(true));
    expect(logged.filter((line) => line.includes("does not list its models"))).toHaveLength(1);
  });

  test("is told apart by endpoint: an unknown upstream matters only where it serves", async () => {
    const lanes = lanesOf([
      { name: "known", models: ["m"], endpoints: [EMBED] },
      { name: "unknown", endpoints: [CHAT] },
    ]);
    expect(lanes.unknownBecause(EMBED)).toBeNull();
    expect(lanes.unknownBecause(CHAT)).not.toBeNull();
  });

  test("what an earlier process found is known while the upstream is down", async () => {
    await store.models.save("sim", ["m"], 1);
    const lanes = lanesOf([{ name: "sim" }]);
    await lanes.start();
    expect([lanes.serves(CHAT, "m"), lanes.unknownBecause(CHAT)]).toEqual([true, null]);
  });

  test("is repeated every minute, and notices other models; an outage changes nothing", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const simulator = await simulatorOf(["old"]);
    const lanes = lanesOf([{ name: "sim", url: simulator.baseUrl }]);
    const turn = () => new Promise(setImmediate);
    const settled = async (condition: () => boolean) => {
      for (let turns = 0; turns < 5_000 && !condition(); turns++) await turn();
      expect(condition()).toBe(true);
    };
    await lanes.start();
    await settled(() => lanes.serves(CHAT, "old") && vi.getTimerCount() === 1);
    const { port } = new URL(simulator.origin);
    await simulator.stop();
    vi.advanceTimersByTime(60_000);
    await settled(
      () => vi.getTimerCount() === 1 && logged.some((line) => line.includes("ask again")),
    );
    expect([lanes.serves(CHAT, "old"), lanes.report()[0]?.state]).toEqual([true, "ok"]);
    const successor = new Simulator({ models: ["new"], port: Number(port) });
    closers.push(() => successor.stop());
    await successor.start();
    vi.advanceTimersByTime(60_000);
    await settled(() => lanes.serves(CHAT, "new"));
    expect(lanes.serves(CHAT, "old")).toBe(false);
    expect(logged.some((line) => line.includes("upstream answers"))).toBe(true);
  });

  test("models that could not be stored are used all the same, and stored later", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const simulator = await simulatorOf(["m"]);
    let broken = true;
    const models: ModelStore = {
      all: () => store.models.all(),
      save: (...given) =>
        broken ? Promise.reject(new Error("no database")) : store.models.save(...given),
    };
    const lanes = lanesOf([{ name: "sim", url: simulator.baseUrl }], {}, models);
    await lanes.start();
    const settled = async (condition: () => boolean | Promise<boolean>) => {
      for (let turns = 0; turns < 5_000 && !(await condition()); turns++) {
        await new Promise(setImmediate);
      }
      expect(await condition()).toBe(true);
    };
    await settled(() => logged.some((line) => line.includes("could not store the models")));
    expect(lanes.serves(CHAT, "m")).toBe(true);
    broken = false;
    await settled(() => vi.getTimerCount() === 1);
    vi.advanceTimersByTime(60_000);
    await settled(async () => (await store.models.all()).has("sim"));
  });

  test("ends with closing", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const lanes = lanesOf([{ name: "sim" }]);
    await lanes.start();
    for (let turns = 0; turns < 5_000 && vi.getTimerCount() === 0; turns++) {
      await new Promise(setImmediate);
    }
    expect(vi.getTimerCount()).toBe(1);
    lanes.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("pauses", () => {
  test("a model waits when every lane of it does, and says why; one that goes on is enough", () => {
    const lanes = lanesOf([
      { name: "a", models: ["m"] },
      { name: "b", models: ["m"] },
    ]);
    const onChange = vi.fn<() => void>();
    lanes.onChange(onChange);
    const [a, b] = lanes.lanesFor(CHAT, "m");
    const pause = (lane: typeof a, reason: string) =>
      lane!.add({
        endpoint: CHAT,
        ready: () => (lane!.reason === null ? "one" : "none"),
        send: (permit) => {
          lane!.finish(permit, { kind: "hold", scope: "lane", reason, retryAfterMs: null });
          return 1;
        },
      });
    expect(lanes.pausedBecause(CHAT, "m")).toBeNull();
    pause(a, "a is down");
    expect(lanes.pausedBecause(CHAT, "m")).toBeNull();
    pause(b, "b is down");
    expect(lanes.pausedBecause(CHAT, "m")).toBe("a is down");
    expect(onChange).toHaveBeenCalledTimes(2);
    expect(lanes.report().filter(({ state }) => state === "paused")).toEqual([
      { upstream: "a", model: "m", state: "paused", reason: "a is down" },
      { upstream: "b", model: "m", state: "paused", reason: "b is down" },
    ]);
  });

  test("a model that nobody serves any more is a reason of its own", () => {
    expect(lanesOf([{ name: "a", models: ["m"] }]).pausedBecause(CHAT, "gone")).toBe(
      `no upstream serves the model 'gone' at ${CHAT} any more`,
    );
  });
});
