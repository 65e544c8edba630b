// Outages of the upstream in the middle of a batch, and before its beginning: no line fails, the reason
// can be seen, the upstream is probed and not hammered, and work goes on by itself.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Mode } from "../../src/simulator/options.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import {
  batchEnd,
  batchThat,
  createBatch,
  upload,
  waitingReason,
} from "../support/batch-driver.ts";
import { chatLines, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const CONCURRENCY = 16;
/** Probes to wait for in each outage: with growing pauses between them, that is "a while". */
const PROBES = 3;
/** No pause between two probes is shorter. */
const SHORTEST_PAUSE_MS = 250;

let place: Workplace;
beforeEach(() => {
  place = openWorkplace();
});
afterEach(() => place[Symbol.dispose]());

function serverFor(baseUrls: string | string[]) {
  const limits = { concurrency: CONCURRENCY };
  const config = { upstreams: [upstream(baseUrls, { limits })], poll_ms: 100 };
  return ServerProcess.start({ folder: place.path("."), config });
}

async function startBatch({ openai }: ServerProcess, lineCount: number) {
  const lines = chatLines(lineCount, (index) => {
    return { customId: `line-${index}`, prompt: `Line ${index} of an outage` };
  });
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  const { id } = await createBatch(openai, await upload(openai, path));
  return { id, customIds: lines.map(({ customId }) => customId) };
}

async function expectAllSucceeded(
  { openai }: ServerProcess,
  { id, customIds }: { id: string; customIds: string[] },
) {
  const batch = await batchEnd(openai, id);
  expect(batch).toMatchObject({ status: "completed", request_counts: { failed: 0 } });
  expect((await judge(openai, batch, customIds)).problems).toEqual([]);
}

/** Requests that ended as the condition of a lane. */
async function pausingAttempts(server: ServerProcess): Promise<number> {
  const samples = await server.metric("offpeak_attempts_total");
  const paused = samples.filter(({ labels }) => labels.includes('result="pause"'));
  return paused.reduce((sum, { value }) => sum + value, 0);
}

/** Everywhere the reason must stand; null for a lane that works. */
async function shownReasons(server: ServerProcess, batchId: string) {
  const [gauge] = await server.metric("offpeak_lane_paused");
  const { checks } = await server.readiness();
  const lane = checks.find(({ model }) => model !== null);
  return {
    header: await waitingReason(server.openai, batchId),
    metric: gauge ? (/reason="([^"]*)"/.exec(gauge.labels)?.[1] ?? "") : null,
    readyz: lane?.state === "paused" ? lane.reason : null,
  };
}

describe("an upstream that is down in the middle of a batch", () => {
  it.each<{ mode: Mode; reason: RegExp }>([
    { mode: "refuse", reason: /can't be reached|cut the connection/ },
    { mode: "503", reason: /unavailable \(503\)/ },
    { mode: "401", reason: /refuses the API key \(401\)/ },
    { mode: "429", reason: /rate limiting \(429\)/ },
  ])("is waited for: $mode", async ({ mode, reason }) => {
    await using simulator = new Simulator({ timeToFirstTokenMs: 50 });
    await using server = await serverFor((await simulator.start()).baseUrl);
    const batch = await startBatch(server, 1_500);
    const running = await batchThat(server.openai, batch.id, "run", (seen) => {
      return (seen.request_counts?.completed ?? 0) > 100;
    });

    await simulator.setMode(mode);
    const downSinceMs = performance.now();
    const answeredBefore = simulator.stats().requests;
    const attemptsBefore = await pausingAttempts(server);
    await until("the reason to be shown", async () => {
      const shown = await shownReasons(server, batch.id);
      return Object.values(shown).every((text) => text !== null && reason.test(text));
    });
    await until("what was in flight to end", () => simulator.stats().inFlight === 0);
    const probedFrom = await pausingAttempts(server);
    await until(
      `${PROBES} probes`,
      async () => (await pausingAttempts(server)) >= probedFrom + PROBES,
      { pauseMs: 100 },
    );
    const attempts = (await pausingAttempts(server)) - attemptsBefore;
    const downMs = performance.now() - downSinceMs;
    const allowed = CONCURRENCY + Math.ceil(downMs / SHORTEST_PAUSE_MS);
    console.info(`${mode}: ${attempts} attempts in ${Math.round(downMs)} ms, allowed ${allowed}`);
    expect(attempts).toBeLessThanOrEqual(allowed);
    const calls = simulator.stats().requests - answeredBefore;
    expect(calls).toBeLessThanOrEqual(CONCURRENCY + allowed);
    const { status, request_counts: counts } = await server.openai.batches.retrieve(batch.id);
    expect({ status, failed: counts?.failed }).toEqual({ status: "in_progress", failed: 0 });
    expect(counts?.completed).toBeLessThan(1_500);

    await simulator.setMode("ok");
    await batchThat(server.openai, batch.id, "go on", (seen) => {
      return (seen.request_counts?.completed ?? 0) > (running.request_counts?.completed ?? 0) + 100;
    });
    await until("the reasons to be gone", async () => {
      const shown = await shownReasons(server, batch.id);
      return Object.values(shown).every((text) => text === null);
    });
    await expectAllSucceeded(server, batch);
  });

  it("gets all four outages in one batch", async () => {
    await using simulator = new Simulator({ timeToFirstTokenMs: 20 });
    await using server = await serverFor((await simulator.start()).baseUrl);
    const batch = await startBatch(server, 2_000);
    for (const mode of ["refuse", "503", "401", "429"] as const) {
      const pauses = server.logged("lane paused").length;
      await simulator.setMode(mode);
      await until(`a pause for ${mode}`, () => server.logged("lane paused").length > pauses);
      await simulator.setMode("ok");
      const goneOn = server.logged("lane goes on").length;
      await until("the lane to go on", () => server.logged("lane goes on").length > goneOn);
    }
    await expectAllSucceeded(server, batch);
  });
});

describe("an upstream that has never been seen", () => {
  it("keeps the batch validating, with the reason, until it is there", async () => {
    await using simulator = new Simulator();
    const { baseUrl } = await simulator.start();
    await simulator.setMode("refuse");
    await using server = await serverFor(baseUrl);
    await until(
      "the warning",
      () => server.logged("upstream does not list its models; will ask again").length > 0,
    );
    const batch = await startBatch(server, 50);
    const reason = await until("a reason", () => waitingReason(server.openai, batch.id));
    expect(reason).toMatch(/waiting for upstream simulator to list its models .*ECONNREFUSED/);
    expect(await server.openai.batches.retrieve(batch.id)).toMatchObject({
      status: "validating",
      errors: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    const { checks } = await server.readiness();
    expect(checks).toEqual([
      expect.objectContaining({ upstream: "simulator", state: "models-unknown" }),
    ]);
    await simulator.setMode("ok");
    await expectAllSucceeded(server, batch);
    expect(await waitingReason(server.openai, batch.id)).toBeNull();
  });
});

describe("an upstream of two replicas", () => {
  it("goes on with the one that lives, and takes the other back", async () => {
    await using first = new Simulator({ timeToFirstTokenMs: 20 });
    await using second = new Simulator({ timeToFirstTokenMs: 20 });
    const urls = [(await first.start()).baseUrl, (await second.start()).baseUrl];
    await using server = await serverFor(urls);
    const batch = await startBatch(server, 6_000);
    await until(
      "both to work",
      () => Math.min(first.stats().answered, second.stats().answered) > 50,
    );

    await second.setMode("refuse");
    const before = first.stats().answered;
    await until("the first to go on alone", () => first.stats().answered > before + 1_500);
    // Its death may make everybody hold their breath once; that it is not there any more doesn't.
    const reasons = server.logged("lane paused").map(({ reason }) => String(reason));
    expect(reasons.filter((reason) => !reason.includes("cut the connection"))).toEqual([]);
    expect(reasons.length).toBeLessThanOrEqual(1);
    expect(await waitingReason(server.openai, batch.id)).toBeNull();

    await second.setMode("ok");
    const answeredBefore = second.stats().answered;
    await until("the other to work again", () => second.stats().answered > answeredBefore + 50);
    await expectAllSucceeded(server, batch);
  });
});
