// What a server costs that has nothing to do: memory after its start, processor time after some batches.

import { setTimeout as delay } from "node:timers/promises";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { memoryMb, processorMs } from "../processes.ts";
import { Server } from "../server.ts";

const BATCHES = 5;
const SETTLE_MS = 3_000;
const WINDOW_MS = 30_000;

export const idle = defineGroup({
  name: "idle",
  about: `${SETTLE_MS / 1000} s after its start; then ${BATCHES} batches of 1,000 lines, then ${WINDOW_MS / 1000} s with nothing to do; its backend can be reached`,
  mostRounds: 2,
  figures: {
    memory: {
      name: "resident memory, idle",
      unit: "MB",
      target: { must: 130, wish: 110, better: "lower" },
    },
    processor: {
      name: "processor time, idle, of one core",
      unit: "%",
      target: { must: 0.5, wish: 0.2, better: "lower" },
    },
    memoryAfter: { name: "resident memory, idle after the batches", unit: "MB" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: 1_000, lineBytes: 400 });
    await using backend = await Backend.start();
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    await delay(SETTLE_MS);
    const memory = memoryMb(server.pid, "VmRSS");
    const fileId = await server.uploadFile(file);
    for (let count = 0; count < BATCHES; count++) await server.runBatch(fileId);
    await delay(SETTLE_MS);
    const before = processorMs(server.pid);
    await delay(WINDOW_MS);
    return {
      memory,
      processor: (100 * (processorMs(server.pid) - before)) / WINDOW_MS,
      memoryAfter: memoryMb(server.pid, "VmRSS"),
    };
  },
});
