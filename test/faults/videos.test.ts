// Videos: lines whose answers are jobs that run for seconds. A server that is killed in their midst follows
// them when it is started again, so that nobody pays twice.
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { blobKeys } from "../../src/core/blob-store.ts";
import { readJournal } from "../../src/engine/journal-recovery.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { openDiskBlobStore } from "../../src/storage/disk/disk-blob-store.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { type InputLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { seededRandom } from "../support/random.ts";
import { type ServerOptions, ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace } from "../support/workplace.ts";

const LINES = 60;
const CONCURRENCY = 20;
const JOB_MS = 3_000;
const KILLS = 4;
const VIDEOS = "/v1/videos";

const random = seededRandom("VIDEOS_SEED");
const promptOf = (index: number) => `video ${index}`;

/** Line numbers of which a job is noted durably, in whatever journal. */
async function startedLines(dataDir: string, batchId: string): Promise<Set<number>> {
  const blobs = await openDiskBlobStore({ directory: dataDir });
  try {
    const started = new Set<number>();
    for await (const { key } of blobs.list(`${blobKeys.batch(batchId)}journals/`)) {
      await readJournal(blobs, key, null, ({ kind, lineNumber }) => {
        if (kind === "started") started.add(lineNumber);
      });
    }
    return started;
  } finally {
    await blobs.close();
  }
}

it(`a server killed while jobs run begins none of them again (VIDEOS_SEED=${random.seed})`, async () => {
  using place = openWorkplace();
  await using simulator = new Simulator({ timeToVideoMs: JOB_MS });
  const { baseUrl } = await simulator.start();
  const limits = { concurrency: CONCURRENCY };
  const options: ServerOptions = {
    folder: place.path("."),
    config: { upstreams: [upstream(baseUrl, { endpoints: [VIDEOS], limits })], shard_lines: 25 },
  };
  const model = simulator.settings.models[0];
  const lines = Array.from({ length: LINES }, (_, index): InputLine => {
    // The first is one that the backend fails to make, which is a result too.
    const prompt = index === 0 ? `${promptOf(index)} [simulate: failed]` : promptOf(index);
    return { customId: promptOf(index), url: VIDEOS, body: { model, prompt } };
  });
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  let server = await ServerProcess.start(options);
  try {
    const fileId = await upload(server.openai, path);
    const { id } = await createBatch(server.openai, fileId, { endpoint: VIDEOS });
    const paidFor = new Map<number, number>();
    const timesSent = (lineNumber: number) =>
      simulator.timesSent(lines[lineNumber - 1]!.body["prompt"] as string);
    for (let kill = 0; kill < KILLS; kill++) {
      const before = simulator.stats().requests;
      await until("more jobs to begin", () => simulator.stats().requests > before || kill > 0);
      await delay(random.next() * JOB_MS * 0.8);
      await server.kill();
      await until("the simulator to be quiet", () => simulator.stats().inFlight === 0);
      for (const lineNumber of await startedLines(ServerProcess.dataDir(place.path(".")), id)) {
        if (!paidFor.has(lineNumber)) paidFor.set(lineNumber, timesSent(lineNumber));
      }
      server = await ServerProcess.start(options);
    }
    const batch = await batchEnd(server.openai, id);
    const judgement = await judge(
      server.openai,
      batch,
      lines.map(({ customId }) => customId),
    );
    expect(judgement.problems).toEqual([]);
    expect([judgement.output, judgement.error]).toEqual([LINES, 0]);
    console.info(`${KILLS} kills; ${paidFor.size} jobs were noted before one of them`);
    expect(paidFor.size).toBeGreaterThanOrEqual(CONCURRENCY);
    for (const [lineNumber, times] of paidFor) expect(timesSent(lineNumber)).toBe(times);
    const calls = lines.reduce((sum, _, index) => sum + timesSent(index + 1), 0);
    // At a kill, the answers that were not on the disk.
    expect(calls).toBeLessThanOrEqual(LINES + KILLS * CONCURRENCY);
  } finally {
    await server.kill();
  }
});
