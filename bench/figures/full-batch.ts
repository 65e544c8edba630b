// The largest batch that OpenAI takes, 50,000 lines in 200 MB, against a backend that answers at once:
// dispatch against a bare loop of the same calls, planning against a bare pass, and the memory of it all.

import { Backend, busyPercent } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { memoryMb } from "../processes.ts";
import { bareDispatch, barePasses } from "../references.ts";
import { median } from "../report.ts";
import { Server } from "../server.ts";

const SHAPE = { lines: 50_000, lineBytes: 4_000 };
const IN_FLIGHT = 64;
/** A pass takes less than a second, in which other programs weigh much. */
const WARM_PASSES = 3;
const dispatchTarget = { must: 0.6, wish: 0.8, better: "higher" } as const;
const planningTarget = { must: 2, wish: 1.3, better: "lower" } as const;

export const fullBatch = defineGroup({
  name: "full-batch",
  about: `50,000 lines of 4,000 bytes, no latency, ${IN_FLIGHT} in flight; "new" is the first batch of a process, against the first pass of a process, the others are the second batch, against the median of the next passes`,
  figures: {
    dispatch: {
      name: "durable lines/s ÷ bare dispatch loop",
      unit: "×",
      target: dispatchTarget,
    },
    newDispatch: { name: "the same, new", unit: "×", target: dispatchTarget },
    planning: { name: "planning ÷ bare `JSON.parse` pass", unit: "×", target: planningTarget },
    newPlanning: { name: "the same, new", unit: "×", target: planningTarget },
    firstLine: {
      name: "first line sent after planning",
      unit: "ms",
      target: { must: 100, better: "lower" },
    },
    peak: {
      name: "peak resident memory",
      unit: "MB",
      target: { must: 200, wish: 160, better: "lower" },
    },
    linesPerSecond: { name: "durable lines/s", unit: "lines/s" },
    barePerSecond: { name: "bare dispatch loop", unit: "lines/s" },
    perLine: { name: "processor time of the server per line", unit: "µs" },
    barePerLine: { name: "processor time of the bare loop per call", unit: "µs" },
    backendBusy: { name: "backend's use of its core under the server", unit: "%" },
    bareBackendBusy: { name: "backend's use of its core under the bare loop", unit: "%" },
    total: { name: "create → completed", unit: "ms" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, SHAPE);
    await using backend = await Backend.start();
    const [newBare, ...passes] = await bareDispatch(backend, file, {
      inFlight: IN_FLIGHT,
      passes: 1 + WARM_PASSES,
    });
    const bareMs = median(passes.map(({ ms }) => ms));
    const bareStats = await backend.tell({});
    const [newPassMs = Number.NaN, ...passesMs] = await barePasses(file, 1 + WARM_PASSES);

    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const fileId = await server.uploadFile(file);
    const first = await server.runBatch(fileId);
    await backend.tell({ reset: true });
    const batch = await server.runBatch(fileId);
    const stats = await backend.tell({});
    return {
      dispatch: bareMs / batch.runningMs,
      newDispatch: newBare.ms / first.runningMs,
      planning: batch.planningMs / median(passesMs),
      newPlanning: first.planningMs / newPassMs,
      firstLine: stats.firstPostAtMs - batch.plannedAtMs,
      peak: memoryMb(server.pid, "VmHWM"),
      linesPerSecond: (1000 * SHAPE.lines) / batch.runningMs,
      barePerSecond: (1000 * SHAPE.lines) / bareMs,
      perLine: (1000 * batch.runningProcessorMs) / SHAPE.lines,
      barePerLine: (1000 * median(passes.map(({ processorMs }) => processorMs))) / SHAPE.lines,
      backendBusy: busyPercent(stats),
      bareBackendBusy: busyPercent(bareStats),
      total: batch.totalMs,
    };
  },
});
