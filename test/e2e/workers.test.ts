// A server with two workers as its operator sees it: it starts and stops as one, says how its workers
// are, and counts as one.
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import {
  batchEnd,
  batchThat,
  createBatch,
  upload,
  waitingReason,
} from "../support/batch-driver.ts";
import { countClaims } from "../support/database-access.ts";
import { chatLines, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { type ServerOptions, ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { killWorker, workerPids, workersStarted } from "../support/worker-processes.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const WORKERS = 2;
const CONCURRENCY = 16;
const LINES = 600;

let place: Workplace;
let simulator: Simulator;
let options: ServerOptions;
beforeEach(async () => {
  place = openWorkplace();
  simulator = new Simulator({ timeToFirstTokenMs: 50 });
  const { baseUrl } = await simulator.start();
  const upstreams = [
    upstream(baseUrl, { limits: { concurrency: CONCURRENCY }, api_key: "a-key-of-the-upstream" }),
  ];
  options = { folder: place.path("."), config: { upstreams, workers: WORKERS, shard_lines: 50 } };
});
afterEach(async () => {
  await simulator.stop();
  place[Symbol.dispose]();
});

async function startServer(): Promise<ServerProcess> {
  const server = await ServerProcess.start(options);
  await workersStarted(server, WORKERS);
  return server;
}

async function runningBatch(
  { openai }: ServerProcess,
  prompt: (index: number) => string = (index) => `Question ${index}`,
): Promise<string> {
  const lines = chatLines(LINES, (index) => {
    return { customId: `line-${index}`, prompt: prompt(index) };
  });
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  const { id } = await createBatch(openai, await upload(openai, path));
  await batchThat(openai, id, "run", ({ request_counts: counts }) => (counts?.completed ?? 0) > 50);
  return id;
}

async function expectCompleted({ openai }: ServerProcess, id: string): Promise<void> {
  const batch = await batchEnd(openai, id);
  const customIds = Array.from({ length: LINES }, (_, index) => `line-${index}`);
  expect((await judge(openai, batch, customIds)).problems).toEqual([]);
  expect(batch).toMatchObject({ status: "completed", request_counts: { completed: LINES } });
}

async function linesCounted(server: ServerProcess): Promise<number> {
  const samples = await server.metric("offpeak_lines_total");
  return samples.reduce((sum, { value }) => sum + value, 0);
}

it("runs a batch in all of them, never with more in flight than the upstream may have", async () => {
  await using server = await startServer();
  const id = await runningBatch(server);
  await until("more to be in flight than one worker may have", async () => {
    const [inFlight] = await server.metric("offpeak_requests_in_flight");
    return (inFlight?.value ?? 0) > CONCURRENCY / WORKERS;
  });
  await expectCompleted(server, id);
  expect(simulator.stats().peakInFlight).toBe(CONCURRENCY);
  expect(await linesCounted(server)).toBe(LINES);
  expect(await server.metric("offpeak_batches")).toContainEqual({
    labels: '{status="completed"}',
    value: 1,
  });
});

it.each([
  { what: "SIGTERM to the server", signal: "SIGTERM", toAll: false },
  { what: "Ctrl-C, which reaches all processes,", signal: "SIGINT", toAll: true },
] as const)("$what stops it in good order", async ({ signal, toAll }) => {
  const first = await startServer();
  const id = await runningBatch(first);
  if (toAll) for (const pid of workerPids(first).values()) process.kill(pid, signal);
  // It has exited when nobody holds its log open any more, workers included.
  const { code } = await first.terminate(signal);
  expect(code).toBe(0);
  expect(first.logged("worker died; its work is free for the others")).toEqual([]);
  expect(countClaims(ServerProcess.dataDir(options.folder))).toBe(0);
  await using second = await startServer();
  await expectCompleted(second, id);
  expect(simulator.stats().requests).toBe(LINES);
});

it("a second signal ends all processes at once", async () => {
  await using server = await startServer();
  await runningBatch(
    server,
    (index) => `Question ${index}${index < 100 ? "" : " [simulate: hang]"}`,
  );
  await until("lines to hang", () => simulator.stats().inFlight === CONCURRENCY);
  const exited = server.terminate();
  await until(
    "the server to be stopping",
    () => server.logged("stopping; requests in flight may finish for a few seconds").length > 0,
  );
  // Of all of them: a worker that lived on would hold the log open.
  const { code, afterMs } = await server.terminate();
  expect(code).toBe(143);
  expect(afterMs).toBeLessThan(2_000);
  await exited;
});

it("says that a worker keeps dying, counts on without it, and takes it back", async () => {
  await using server = await startServer();
  const id = await runningBatch(server);
  const before = await linesCounted(server);
  await killWorker(server, 1);
  expect(await linesCounted(server)).toBeGreaterThanOrEqual(before);
  await killWorker(server, 1);
  const answered = await fetch(`${server.url}/readyz`);
  expect(answered.status).toBe(200);
  expect(await answered.json()).toMatchObject({
    ready: true,
    workers: [
      { number: 1, state: "down", reason: "ended by SIGKILL, 2 in a row; see the log" },
      { number: 2, state: "running", reason: null },
    ],
  });
  expect(await server.metric("offpeak_worker_deaths_total")).toEqual([{ labels: "", value: 2 }]);
  await expectCompleted(server, id);
  await until("the worker to be back", async () => {
    const { workers } = (await (await fetch(`${server.url}/readyz`)).json()) as {
      workers: { state: string; reason: string | null }[];
    };
    return workers.every(({ state, reason }) => state === "running" && reason === null);
  });
});

it("shows why the lanes of its workers are paused", async () => {
  await using server = await startServer();
  const id = await runningBatch(server);
  await simulator.setMode("503");
  const reason = /unavailable \(503\)/;
  await until("the reason to be shown", async () => {
    const [paused, ...others] = await server.metric("offpeak_lane_paused");
    const { checks, ready } = await server.readiness();
    const lanes = checks.filter(({ model }) => model !== null);
    return (
      ready &&
      lanes.length === 1 &&
      reason.test(lanes[0]?.reason ?? "") &&
      paused?.value === 1 &&
      others.length === 0 &&
      reason.test(paused.labels) &&
      reason.test((await waitingReason(server.openai, id)) ?? "")
    );
  });
  await simulator.setMode("ok");
  await expectCompleted(server, id);
  const { checks } = await server.readiness();
  expect(checks.every(({ state }) => state === "ok")).toBe(true);
});

it("gives keys to its workers where no other process can see them", async () => {
  await using server = await startServer();
  for (const pid of workerPids(server).values()) {
    expect(await readFile(`/proc/${pid}/cmdline`, "utf8")).not.toContain("a-key");
  }
  await expectCompleted(server, await runningBatch(server));
  expect(JSON.stringify(server.log)).not.toContain("a-key-of-the-upstream");
});
