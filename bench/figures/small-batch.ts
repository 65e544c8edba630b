// A batch of ten lines, as its client sees it: from the request that creates it to the answer that says completed.

import { setTimeout as delay } from "node:timers/promises";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { median } from "../report.ts";
import { Server } from "../server.ts";

const BATCHES = 20;
const LOOK_MS = 5;

export const smallBatch = defineGroup({
  name: "small-batch",
  about: `10 lines, no latency; median of ${BATCHES} batches one after the other on a new server, retrieved every ${LOOK_MS} ms`,
  figures: {
    total: {
      name: "batch of 10 lines, create → completed",
      unit: "ms",
      target: { must: 150, wish: 60, better: "lower" },
    },
    slowest: { name: "the slowest of them", unit: "ms" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: 10, lineBytes: 400 });
    await using backend = await Backend.start();
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const fileId = await server.uploadFile(file);
    const times: number[] = [];
    while (times.length < BATCHES) {
      const startedMs = performance.now();
      const id = await server.createBatch(fileId);
      while ((await server.batch(id)).status !== "completed") await delay(LOOK_MS);
      times.push(performance.now() - startedMs);
    }
    return { total: median(times), slowest: Math.max(...times) };
  },
});
