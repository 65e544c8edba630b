// How long a client waits for `retrieve` while the server dispatches as fast as it can.

import { setTimeout as delay } from "node:timers/promises";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { Server } from "../server.ts";

const BATCHES = 4;
const EVERY_MS = 20;

export const responsiveness = defineGroup({
  name: "responsiveness",
  about: `one retrieve every ${EVERY_MS} ms, timed from when it was due, while ${BATCHES} planned batches of 50,000 lines of 4,000 bytes run, no latency, 64 in flight`,
  figures: {
    p99: {
      name: "retrieve, 99th percentile under full dispatch",
      unit: "ms",
      target: { must: 50, wish: 15, better: "lower" },
    },
    p50: { name: "retrieve, median under full dispatch", unit: "ms" },
    slowest: { name: "retrieve, slowest under full dispatch", unit: "ms" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: 50_000, lineBytes: 4_000 });
    await using backend = await Backend.start();
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const fileId = await server.uploadFile(file);
    await backend.tell({ answerOnly: 0 });
    const ids: string[] = [];
    while (ids.length < BATCHES) ids.push(await server.createBatch(fileId));
    await server.untilBatches("in_progress", BATCHES);
    await backend.tell({ answerOnly: null });
    const times = await retrieveWhileRunning(server, ids.at(-1) ?? "");
    const at = (share: number) => times[Math.ceil(times.length * share) - 1] ?? Number.NaN;
    return { p99: at(0.99), p50: at(0.5), slowest: at(1) };
  },
});

/** Milliseconds of each retrieve, ascending. */
async function retrieveWhileRunning(server: Server, id: string): Promise<number[]> {
  const times: number[] = [];
  for (let dueMs = performance.now(); ; dueMs += EVERY_MS) {
    await delay(Math.max(0, dueMs - performance.now()));
    const { status } = await server.batch(id);
    if (status !== "in_progress") return times.sort((a, b) => a - b);
    times.push(performance.now() - dueMs);
  }
}
