// What a backend does to single lines: errors, silence, cut and broken answers, its own death. Every line
// ends once; it fails only for what is wrong with that line, and only after its attempts are spent.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FAILURE_KINDS, type SimulatorOptions } from "../../src/simulator/options.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { type ChatLine, chatLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { seededRandom } from "../support/random.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const MAX_ATTEMPTS = 3;
const CONCURRENCY = 16;
/** Deaths of the upstream with a line alone that make it the culprit. */
const DEATHS_ALONE = 3;

const random = seededRandom("LINES_SEED");

let place: Workplace;
let simulator: Simulator;
beforeEach(() => {
  place = openWorkplace();
});
afterEach(async () => {
  await simulator.stop();
  place[Symbol.dispose]();
});

async function startServer(options: SimulatorOptions, more: Record<string, unknown> = {}) {
  simulator = new Simulator(options);
  const { baseUrl } = await simulator.start();
  const upstreams = [upstream(baseUrl, { limits: { concurrency: CONCURRENCY } })];
  const config = { upstreams, request_timeout_ms: 4_000, max_attempts: MAX_ATTEMPTS, ...more };
  return { folder: place.path("."), config };
}

async function startBatch({ openai }: ServerProcess, lines: ChatLine[]): Promise<string> {
  const path = await writeInputFile(place.path("input.jsonl"), lines.map(chatLine));
  return (await createBatch(openai, await upload(openai, path))).id;
}

/** The judgement of the completed batch; fails when a promise was not kept. */
async function verdict({ openai }: ServerProcess, batchId: string, lines: ChatLine[]) {
  const batch = await batchEnd(openai, batchId);
  expect(batch.status).toBe("completed");
  const customIds = lines.map(({ customId }) => customId);
  const judgement = await judge(openai, batch, customIds);
  expect(judgement.problems).toEqual([]);
  return judgement;
}

function plainLines(count: number): ChatLine[] {
  return Array.from({ length: count }, (_, index) => {
    return { customId: `plain-${index}`, prompt: `A plain question, number ${index}` };
  });
}

const success = { file: "output", status: 200, code: null };

describe("a line that goes wrong", () => {
  it("fails alone, for its own reason, and only when its attempts are spent", async () => {
    await using server = await ServerProcess.start(await startServer({ dripIntervalMs: 1 }));
    const cases: Record<string, { result: object; timesSent: number }> = {
      "500": { result: { file: "error", status: 500 }, timesSent: MAX_ATTEMPTS },
      "500 x2": { result: success, timesSent: 3 },
      "504": { result: { file: "error", status: 504 }, timesSent: MAX_ATTEMPTS },
      "400": { result: { file: "error", status: 400 }, timesSent: 1 },
      "422": { result: { file: "error", status: 422 }, timesSent: 1 },
      hang: { result: { file: "error", code: "request_timeout" }, timesSent: MAX_ATTEMPTS },
      "hang x1": { result: success, timesSent: 2 },
      cut: { result: { file: "error", code: "upstream_unreachable" }, timesSent: MAX_ATTEMPTS },
      "cut x2": { result: success, timesSent: 3 },
      garbage: {
        result: { file: "error", status: 200, code: "invalid_upstream_answer" },
        timesSent: MAX_ATTEMPTS,
      },
      "garbage x1": { result: success, timesSent: 2 },
      drip: { result: success, timesSent: 1 },
      // Conditions of the lane, however often they come, are no attempts of the line.
      "503 x5": { result: success, timesSent: 6 },
      "429 x4": { result: success, timesSent: 5 },
    };
    const faulty = Object.keys(cases).map((fault): ChatLine => {
      return { customId: fault, prompt: `Please [simulate: ${fault}]` };
    });
    const lines = [...plainLines(20), ...faulty, ...plainLines(40).slice(20)];
    const { results } = await verdict(server, await startBatch(server, lines), lines);

    for (const { customId, prompt } of faulty) {
      const { result, timesSent } = cases[customId]!;
      expect.soft(results.get(customId), customId).toMatchObject(result);
      expect.soft(simulator.timesSent(prompt), customId).toBe(timesSent);
    }
    for (const { customId, prompt } of plainLines(40)) {
      expect.soft(results.get(customId), customId).toEqual(success);
      expect.soft(simulator.timesSent(prompt), customId).toBe(1);
    }
  });

  it(`ends once, among failures of every kind (LINES_SEED=${random.seed})`, async () => {
    const failing = { failureRate: 0.25, failureKinds: FAILURE_KINDS, seed: random.seed };
    const options = await startServer({ ...failing, dripIntervalMs: 1 }, { max_attempts: 10 });
    await using server = await ServerProcess.start(options);
    const lines = plainLines(500);
    const judgement = await verdict(server, await startBatch(server, lines), lines);
    const { requests, byStatus } = simulator.stats();
    console.info(`${requests} requests: ${JSON.stringify(byStatus)}`);
    expect(judgement.output).toBe(lines.length);
    expect(requests).toBeGreaterThan(lines.length * 1.1);
  });
});

describe("a line that kills the upstream every time", () => {
  const poison: ChatLine = { customId: "poison", prompt: "Drink this: [simulate: crash]" };
  const lines = [...plainLines(100).slice(0, 40), poison, ...plainLines(100).slice(40)];

  it("is the only one that fails", async () => {
    await using server = await ServerProcess.start(await startServer({ timeToFirstTokenMs: 20 }));
    const { results, output } = await verdict(server, await startBatch(server, lines), lines);
    expect(results.get("poison")).toEqual({
      file: "error",
      status: null,
      code: "upstream_crashed",
    });
    expect(output).toBe(lines.length - 1);
    expect(simulator.timesSent(poison.prompt)).toBe(1 + DEATHS_ALONE);
  });

  it("stays a suspect when the server dies too", async () => {
    const options = await startServer({ timeToFirstTokenMs: 20, crashDowntimeMs: 1_000 });
    await using first = await ServerProcess.start(options);
    const batchId = await startBatch(first, lines);
    // Once in company, then alone: twice it was seen to kill when it is sent for the third time.
    await until("the third death", () => simulator.timesSent(poison.prompt) === 3, { pauseMs: 2 });
    await first.kill();

    await using second = await ServerProcess.start(options);
    const { results, output } = await verdict(second, batchId, lines);
    expect(results.get("poison")?.code).toBe("upstream_crashed");
    expect(output).toBe(lines.length - 1);
    // One more than without the kill, which came before the server knew of the third death.
    expect(simulator.timesSent(poison.prompt)).toBeLessThanOrEqual(1 + DEATHS_ALONE + 1);
  });
});
