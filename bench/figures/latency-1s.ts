// Many requests in flight against a backend that takes a second for an answer, and the memory they take.
// The ramp-up counts on both sides.

import { Backend } from "../backend.ts";
import { type BenchRun, defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { memoryMb } from "../processes.ts";
import { bareDispatch } from "../references.ts";
import { Server } from "../server.ts";

const LATENCY_MS = 1_000;
const LINE_BYTES = 400;
const dispatchTarget = { must: 0.97, wish: 0.99, better: "higher" } as const;

interface Load {
  inFlight: number;
  lines: number;
}

async function measureLoad(run: BenchRun, { inFlight, lines }: Load) {
  const file = await inputFile(run.directory, { lines, lineBytes: LINE_BYTES });
  await using backend = await Backend.start({ latencyMs: LATENCY_MS });
  const [bare] = await bareDispatch(backend, file, { inFlight });
  const options = { backendUrl: backend.baseUrl, concurrency: inFlight };
  await using server = await Server.start(run, options);
  const batch = await server.runBatch(await server.uploadFile(file));
  return { dispatch: bare.ms / batch.runningMs, peakMb: memoryMb(server.pid, "VmHWM") };
}

export const latency1S = defineGroup({
  name: "latency-1s",
  about: "10,000 lines at 1,000 in flight, 25,000 lines at 5,000, of 400 bytes each; 1 s",
  mostRounds: 2,
  figures: {
    thousand: {
      name: "durable lines/s ÷ bare dispatch loop, 1 s, 1,000 in flight",
      unit: "×",
      target: dispatchTarget,
    },
    fiveThousand: { name: "the same, 5,000 in flight", unit: "×", target: dispatchTarget },
    peak: {
      name: "peak resident memory, 5,000 in flight",
      unit: "MB",
      target: { must: 350, wish: 300, better: "lower" },
    },
    thousandPeak: { name: "peak resident memory, 1,000 in flight", unit: "MB" },
  },
  async measure(run) {
    const thousand = await measureLoad(run, { inFlight: 1_000, lines: 10_000 });
    const fiveThousand = await measureLoad(run, { inFlight: 5_000, lines: 25_000 });
    return {
      thousand: thousand.dispatch,
      fiveThousand: fiveThousand.dispatch,
      peak: fiveThousand.peakMb,
      thousandPeak: thousand.peakMb,
    };
  },
});
