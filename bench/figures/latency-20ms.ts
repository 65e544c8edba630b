// The largest batch against a backend that takes 20 ms for an answer: it must stay full, and what comes before
// and after the calls must be small beside them.

import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { bareDispatch } from "../references.ts";
import { Server } from "../server.ts";

const LINES = 50_000;
const IN_FLIGHT = 64;
const LATENCY_MS = 20;

export const latency20Ms = defineGroup({
  name: "latency-20ms",
  about: `50,000 lines of 4,000 bytes, ${LATENCY_MS} ms, ${IN_FLIGHT} in flight; the calls alone are the bare dispatch loop`,
  mostRounds: 2,
  figures: {
    dispatch: {
      name: "durable lines/s ÷ bare dispatch loop, 20 ms, 64 in flight",
      unit: "×",
      target: { must: 0.97, wish: 0.99, better: "higher" },
    },
    total: {
      name: "create → completed ÷ its calls alone",
      unit: "×",
      target: { must: 1.15, wish: 1.05, better: "lower" },
    },
    calls: { name: "its calls alone", unit: "ms" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: LINES, lineBytes: 4_000 });
    await using backend = await Backend.start({ latencyMs: LATENCY_MS });
    const [bare] = await bareDispatch(backend, file, { inFlight: IN_FLIGHT });
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const batch = await server.runBatch(await server.uploadFile(file));
    return {
      dispatch: bare.ms / batch.runningMs,
      total: batch.totalMs / bare.ms,
      calls: bare.ms,
    };
  },
});
