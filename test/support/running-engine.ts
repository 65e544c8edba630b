// The running and assembling parts of the engine over a stage, against one upstream, with time that
// passes only when a test waits: pauses and retries cost nothing.
import { vi } from "vitest";
import type { BlobStore } from "../../src/core/blob-store.ts";
import { defaultUpstreamEndpoints } from "../../src/core/endpoints.ts";
import { Assembler } from "../../src/engine/assembler.ts";
import { FreeSpace } from "../../src/engine/free-space.ts";
import { Leases } from "../../src/engine/leases.ts";
import { Runner } from "../../src/engine/runner.ts";
import { Lanes } from "../../src/lanes/lanes.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { HttpUpstream } from "../../src/upstream/http-upstream.ts";
import type { EngineStage } from "./engine-stage.ts";

export interface RunningEngineOptions {
  baseUrl: string;
  owner?: string;
  models?: string[];
  concurrency?: number;
  maxAttempts?: number;
  cancelGraceMs?: number;
  requestTimeoutMs?: number;
  answerSizeBytes?: number;
  /** Takes the place of the stage's blobs. */
  blobs?: BlobStore;
}

export interface RunningEngine extends AsyncDisposable {
  runner: Runner;
  lanes: Lanes;
  leases: Leases;
  assembler: Assembler;
  /** Lets the engine work, and time pass, until the condition holds; fails after ten minutes of that time. */
  runUntil(condition: () => boolean | Promise<boolean>): Promise<void>;
}

const STEP_MS = 20;
const PATIENCE_MS = 600_000;
const never = new AbortController().signal;

/** Timers are to be faked by the test: see `fakeTimers`. */
export async function startEngine(
  stage: EngineStage,
  options: RunningEngineOptions,
): Promise<RunningEngine> {
  const { store, clock, log } = stage;
  const blobs = options.blobs ?? stage.blobs;
  const metrics = createMetrics(() => store.batches.countByStatus());
  const upstream = new HttpUpstream({
    name: "gpu",
    baseUrls: [options.baseUrl],
    apiKey: null,
    models: options.models ?? ["simulated-model"],
    endpoints: defaultUpstreamEndpoints,
    requestTimeoutMs: options.requestTimeoutMs ?? 60_000,
    answerSizeBytes: options.answerSizeBytes ?? 10_000_000,
    clock,
  });
  const lanes = new Lanes({
    upstreams: [{ upstream, concurrency: options.concurrency ?? 4 }],
    modelAliases: {},
    models: store.models,
    clock,
    log,
    metrics,
  });
  const leases = new Leases({
    owner: options.owner ?? "node-1",
    leaseMs: 30_000,
    store,
    clock,
    log,
  });
  let settled = false;
  const runner = new Runner({
    store,
    blobs,
    lanes,
    leases,
    clock,
    log,
    metrics,
    freeSpace: new FreeSpace(blobs, 0),
    settings: {
      maxAttempts: options.maxAttempts ?? 3,
      cancelGraceMs: options.cancelGraceMs ?? 5_000,
    },
    onBatchSettled: () => (settled = true),
    onRoom: () => (settled = true),
  });
  return {
    runner,
    lanes,
    leases,
    assembler: new Assembler({ store, blobs, leases, clock, log }),
    runUntil: async (condition) => {
      for (let passedMs = 0; passedMs < PATIENCE_MS; passedMs += STEP_MS) {
        // As the engine's loop does: once a second, and whenever there is room.
        if (settled || passedMs % 1_000 === 0) {
          settled = false;
          await runner.tick(never);
        }
        if (await condition()) return;
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
        clock.pass(STEP_MS);
        vi.advanceTimersByTime(STEP_MS);
      }
      throw new Error("the condition did not come true");
    },
    [Symbol.asyncDispose]: async () => {
      await runner.stop("lease-lost");
      await leases.stop();
      lanes.close();
      await upstream.close();
    },
  };
}

export function fakeTimers(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
}
