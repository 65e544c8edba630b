// The server as a process: told to stop it stops in good order, and what keeps it from starting it says.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, batchThat, createBatch, upload } from "../support/batch-driver.ts";
import { countClaims } from "../support/database-access.ts";
import { type ChatLine, chatLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { readKilledBatch } from "../support/killed-data.ts";
import { type ServerOptions, ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const CONCURRENCY = 16;
const LONGEST_STOP_MS = 10_000;

let place: Workplace;
let simulator: Simulator;
let options: ServerOptions;
beforeEach(async () => {
  place = openWorkplace();
  simulator = new Simulator({ timeToFirstTokenMs: 150 });
  const { baseUrl } = await simulator.start();
  const upstreams = [upstream(baseUrl, { limits: { concurrency: CONCURRENCY } })];
  options = { folder: place.path("."), config: { upstreams, shard_lines: 100 } };
});
afterEach(async () => {
  await simulator.stop();
  place[Symbol.dispose]();
});

async function runningBatch({ openai }: ServerProcess, lines: ChatLine[]): Promise<string> {
  const path = await writeInputFile(place.path("input.jsonl"), lines.map(chatLine));
  const { id } = await createBatch(openai, await upload(openai, path));
  await batchThat(openai, id, "run", ({ request_counts: counts }) => {
    return (counts?.completed ?? 0) >= 2 * CONCURRENCY;
  });
  return id;
}

describe("SIGTERM in the middle of a batch", () => {
  it.each([
    { what: "slow answers, which are waited for", hanging: 0, isWaste: false },
    { what: "requests that hang, which are given up", hanging: CONCURRENCY / 2, isWaste: true },
  ])("hands everything back and exits 0: $what", async ({ hanging, isWaste }) => {
    const lines = Array.from({ length: 500 }, (_, index): ChatLine => {
      const isHanging = index >= 50 && index < 50 + hanging;
      // Only the first time, so that the batch can end later.
      const prompt = `Question ${index}${isHanging ? " [simulate: hang x1]" : ""}`;
      return { customId: `line-${index}`, prompt };
    });
    const dataDir = ServerProcess.dataDir(options.folder);
    const first = await ServerProcess.start(options);
    const id = await runningBatch(first, lines);
    await until("the hanging lines to be sent", () => {
      return lines.slice(50, 50 + hanging).every(({ prompt }) => simulator.timesSent(prompt) > 0);
    });
    const { code, signal, afterMs } = await first.terminate();
    console.info(`stopped in ${Math.round(afterMs)} ms`);
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(afterMs).toBeLessThan(LONGEST_STOP_MS);
    expect(countClaims(dataDir)).toBe(0);

    await until("the simulator to be idle", () => simulator.stats().inFlight === 0);
    const left = await readKilledBatch(dataDir, id);
    const recorded = [...(left?.recorded ?? [])];
    expect(left?.batch.counts.completed).toBe(recorded.length);
    expect(simulator.stats().requests).toBe(recorded.length + (isWaste ? hanging : 0));

    await using second = await ServerProcess.start(options);
    const batch = await batchEnd(second.openai, id);
    const customIds = lines.map(({ customId }) => customId);
    const judgement = await judge(second.openai, batch, customIds);
    expect(judgement.problems).toEqual([]);
    expect(judgement.output).toBe(lines.length);
    for (const lineNumber of recorded) {
      expect(simulator.timesSent(lines[lineNumber - 1]!.prompt)).toBe(1);
    }
    expect(simulator.stats().requests).toBe(lines.length + (isWaste ? hanging : 0));
  });
});

describe("a server that cannot start", () => {
  it("says who has the data directory", async () => {
    await using server = await ServerProcess.start(options);
    const { code, complaint } = await ServerProcess.startInVain(options);
    expect(complaint).toContain(`in use by another Offpeak process (pid ${server.pid})`);
    expect(complaint).toContain("--data-dir");
    expect(code).toBe(1);
    expect((await server.openai.models.list()).data).toHaveLength(1);
  });

  it("says that the port is taken, and leaves the data directory free", async () => {
    await using server = await ServerProcess.start(options);
    using elsewhere = openWorkplace();
    const port = Number(new URL(server.url).port);
    const other = { folder: elsewhere.path("."), config: { ...options.config, port } };
    const { code, complaint } = await ServerProcess.startInVain(other);
    expect(complaint).toContain(`port ${port} on 127.0.0.1 is taken`);
    expect(complaint).toContain("--port");
    expect(code).toBe(1);
    await using _moved = await ServerProcess.start({
      ...other,
      config: { ...options.config, port: 0 },
    });
  });
});

describe("a server whose upstream is not there", () => {
  it("warns, and serves everything that needs no upstream", async () => {
    await simulator.setMode("refuse");
    await using server = await ServerProcess.start(options);
    const warning = await until("a warning", () =>
      server.log.find(({ level }) => level === "warn"),
    );
    expect(warning).toMatchObject({ upstream: "simulator" });
    expect(String(warning["detail"])).toContain("ECONNREFUSED");
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    const lines = [chatLine({ customId: "a", prompt: "b" })];
    const fileId = await upload(
      server.openai,
      await writeInputFile(place.path("input.jsonl"), lines),
    );
    expect(await server.openai.files.retrieve(fileId)).toMatchObject({ status: "processed" });
    expect((await createBatch(server.openai, fileId)).status).toBe("validating");
  });
});
