// One batch of a million lines, 4 GB: it runs to its end, in memory that hardly grows with it and in time that grows
// with its lines alone. The input is made while it is uploaded.

import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputStream } from "../input-file.ts";
import { memoryMb } from "../processes.ts";
import { Server } from "../server.ts";

const LINE_BYTES = 4_000;
const LINES = 50_000;
const MILLION = 1_000_000;
const LIMITS = [
  "--limits-lines-per-batch",
  String(MILLION),
  "--limits-batch-file-size-bytes",
  String(MILLION * LINE_BYTES),
];

async function runBatch(server: Server, lines: number) {
  const shape = { lines, lineBytes: LINE_BYTES };
  const upload = { content: inputStream(shape), sizeBytes: lines * LINE_BYTES };
  const { id } = await server.upload(upload);
  return server.runBatch(id);
}

export const million = defineGroup({
  name: "million",
  about:
    "1,000,000 lines of 4,000 bytes, no latency, 64 in flight, against a batch of 50,000 on the same server",
  mostRounds: 1,
  onlyWhenAsked: true,
  figures: {
    linear: {
      name: "create → completed per line ÷ the same of 50,000 lines",
      unit: "×",
      target: { must: 1.1, better: "lower" },
    },
    peak: {
      name: "peak resident memory",
      unit: "MB",
      target: { must: 264, better: "lower" },
    },
    planning: { name: "planning", unit: "s" },
    running: { name: "running", unit: "s" },
    assembling: { name: "assembling", unit: "s" },
    total: { name: "create → completed", unit: "s" },
  },
  async measure(run) {
    await using backend = await Backend.start();
    await using server = await Server.start(run, { backendUrl: backend.baseUrl, flags: LIMITS });
    const small = await runBatch(server, LINES);
    run.progress("million: uploading 4 GB");
    const large = await runBatch(server, MILLION);
    return {
      linear: large.totalMs / MILLION / (small.totalMs / LINES),
      peak: memoryMb(server.pid, "VmHWM"),
      planning: large.planningMs / 1000,
      running: large.runningMs / 1000,
      assembling: large.assemblingMs / 1000,
      total: large.totalMs / 1000,
    };
  },
});
