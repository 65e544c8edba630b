// A server with two workers, of which one, both, or the server itself is killed; and a line that kills the
// backend. All that holds of a single process holds of them together, and no lease is waited for.
import { setTimeout as delay } from "node:timers/promises";
import type { Batch } from "openai/resources/batches";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, batchThat, createBatch, upload } from "../support/batch-driver.ts";
import { CrashCampaign } from "../support/crash-campaign.ts";
import { countClaims, moveDeadline } from "../support/database-access.ts";
import { type ChatLine, chatLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { seededRandom } from "../support/random.ts";
import { answer, type Received, ScriptedBackend } from "../support/scripted-backend.ts";
import { type ServerOptions, ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { killWorker, workersStarted } from "../support/worker-processes.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const WORKERS = 2;
const CONCURRENCY = 16;
/** Of what one worker has in flight, and of what has been answered and is not durable yet. */
const COST_OF_A_DEATH = (2 * CONCURRENCY) / WORKERS;
/** Far beyond what a test may take: nothing can wait for a lease to run out. */
const LEASE_MS = 600_000;

const random = seededRandom("WORKERS_SEED");

let place: Workplace;
beforeEach(() => {
  place = openWorkplace();
});
afterEach(() => place[Symbol.dispose]());

function optionsFor(baseUrl: string, more: Record<string, unknown> = {}): ServerOptions {
  const upstreams = [upstream(baseUrl, { limits: { concurrency: CONCURRENCY } })];
  const config = { upstreams, workers: WORKERS, lease_ms: LEASE_MS, shard_lines: 100, ...more };
  return { folder: place.path("."), config };
}

async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const server = await ServerProcess.start(options);
  await workersStarted(server, WORKERS);
  return server;
}

function someLines(count: number, filler = ""): ChatLine[] {
  return Array.from({ length: count }, (_, index) => {
    return { customId: `line-${index}`, prompt: `Question ${index} ${filler}` };
  });
}

async function startBatch({ openai }: ServerProcess, lines: ChatLine[]): Promise<Batch> {
  const path = await writeInputFile(place.path("input.jsonl"), lines.map(chatLine));
  return createBatch(openai, await upload(openai, path));
}

/** Judges the batch when it has ended, and answers it. */
async function judged({ openai }: ServerProcess, batchId: string, lines: ChatLine[]) {
  const batch = await batchEnd(openai, batchId);
  const customIds = lines.map(({ customId }) => customId);
  const judgement = await judge(openai, batch, customIds);
  expect(judgement.problems).toEqual([]);
  return { ...judgement, batch };
}

const done = ({ request_counts: counts }: Batch) => counts?.completed ?? 0;

describe(`workers that are killed (WORKERS_SEED=${random.seed})`, () => {
  it("while lines run: the other goes on with their shards at once, each line ends once", async () => {
    await using simulator = new Simulator({ timeToFirstTokenMs: 20 });
    await using server = await startServer(optionsFor((await simulator.start()).baseUrl));
    const lines = someLines(3_000);
    const { id } = await startBatch(server, lines);
    let deaths = 0;
    for (const number of [1, 2, 1, 2, 1]) {
      const before = simulator.stats().requests;
      const more = 150 + Math.floor(random.next() * 150);
      await until("lines to run", () => simulator.stats().requests > before + more, { pauseMs: 1 });
      await killWorker(server, number);
      deaths++;
    }
    const { status } = await server.openai.batches.retrieve(id);
    expect(status).toBe("in_progress");
    const { output } = await judged(server, id, lines);
    expect(output).toBe(lines.length);
    const calls = simulator.stats().requests;
    console.info(`${deaths} deaths cost ${calls - lines.length} calls`);
    expect(calls).toBeGreaterThan(lines.length);
    expect(calls).toBeLessThanOrEqual(lines.length + deaths * COST_OF_A_DEATH);
    expect(server.logged("shard taken over").length).toBeGreaterThan(0);
    expect(countClaims(ServerProcess.dataDir(place.path(".")))).toBe(0);
  });

  it.each([
    { status: "validating", window: 40 },
    { status: "finalizing", window: 20 },
  ] as const)(
    "all at once while the batch is $status: it is done anew",
    async ({ status, window }) => {
      await using simulator = new Simulator();
      const lines = someLines(4_000, "off-peak ".repeat(400));
      let hits = 0;
      for (let round = 0; hits === 0 && round < 10; round++) {
        // Another one each time: the more often workers die, the longer they stay away.
        await using server = await startServer(optionsFor((await simulator.start()).baseUrl));
        const { id } = await startBatch(server, lines);
        if (status === "finalizing") {
          await batchThat(
            server.openai,
            id,
            status,
            (seen) => seen.status !== "in_progress" && seen.status !== "validating",
            { pauseMs: 1 },
          );
        }
        await delay(random.next() * window);
        await Promise.all([1, 2].map((number) => killWorker(server, number)));
        const seen = await server.openai.batches.retrieve(id);
        if (seen.status === status) hits++;
        const { output, batch } = await judged(server, id, lines);
        expect(batch.status).toBe("completed");
        expect(output).toBe(lines.length);
        await simulator.stop();
      }
      expect(hits).toBe(1);
    },
  );

  it("while they cancel, and at the end of the window: what is finished is kept", async () => {
    await using simulator = new Simulator({ timeToFirstTokenMs: 100 });
    const options = optionsFor((await simulator.start()).baseUrl, { cancel_grace_ms: 3_000 });
    await using server = await startServer(options);
    const lines = someLines(800);
    for (const [ending, code] of [
      ["cancelled", "batch_cancelled"],
      ["expired", "batch_expired"],
    ] as const) {
      const { id } = await startBatch(server, lines);
      await batchThat(server.openai, id, "run", (batch) => done(batch) > 2 * CONCURRENCY);
      if (ending === "cancelled") await server.openai.batches.cancel(id);
      else moveDeadline(ServerProcess.dataDir(options.folder), id, new Date(Date.now() - 1_000));
      await killWorker(server, ending === "cancelled" ? 1 : 2);
      const { batch, results, output } = await judged(server, id, lines);
      expect(batch.status).toBe(ending);
      expect(output).toBeGreaterThan(2 * CONCURRENCY);
      const errors = [...results.values()].filter(({ file }) => file === "error");
      expect(new Set(errors.map((result) => result.code))).toEqual(new Set([code]));
    }
  });
});

describe("a server with workers that is killed", () => {
  it("leaves none of them behind, and nothing recorded is sent again", async () => {
    await using simulator = new Simulator({ timeToFirstTokenMs: 20 });
    await using campaign = new CrashCampaign(
      simulator,
      optionsFor((await simulator.start()).baseUrl),
    );
    await campaign.start();
    const lines = someLines(6_000);
    const { id } = await startBatch(campaign.server, lines);
    const story = { batchId: id, lines, kills: [] };
    // Only those count that met lines in flight; undisturbed, the batch takes two seconds.
    while (campaign.kills.running < 3) {
      await until("lines to run", () => simulator.stats().inFlight > 0, { pauseMs: 1 });
      // It is gone when nobody holds its log open any more, workers included.
      await campaign.strike(story, ["in_progress"], random.next() * 150);
    }
    const { output } = await judged(campaign.server, id, lines);
    expect(output).toBe(lines.length);
    expect(campaign.problemsOfCalls(story)).toEqual([]);
  });
});

describe("a line that kills the upstream every time", () => {
  it("is sent alone, whoever else has lines for it, and is the only one that fails", async () => {
    const poison = { customId: "poison", prompt: "Drink this" };
    const lines = [poison, ...someLines(600)];
    /** Requests that the backend had beside each poison line, or got before it died of it. */
    const company: number[] = [];
    let inFlight = 0;
    await using backend = await ScriptedBackend.start();
    const onPost = ({ body, response }: Received) => {
      inFlight++;
      response.on("close", () => inFlight--);
      if (body.includes(poison.prompt)) {
        const others = inFlight - 1;
        setTimeout(() => {
          company.push(others + inFlight - 1);
          backend.die();
          setTimeout(() => void backend.listen(), 200);
        }, 50);
      } else {
        setTimeout(() => answer(response, 200, JSON.stringify({ object: "chat.completion" })), 20);
      }
    };
    backend.script = { onPost };
    const options = optionsFor(backend.baseUrl, { shard_lines: 20 });
    const [simulated] = options.config["upstreams"] as Record<string, unknown>[];
    simulated!["models"] = ["simulated-model"];
    await using server = await startServer(options);
    const { id } = await startBatch(server, lines);
    const { results, output } = await judged(server, id, lines);
    expect(results.get("poison")).toMatchObject({ file: "error", code: "upstream_crashed" });
    expect(output).toBe(lines.length - 1);
    console.info(`beside the poison were ${company.join(", ")}`);
    expect(company[0]).toBeGreaterThan(0);
    expect(company.slice(1)).toEqual([0, 0, 0]);
  });
});
