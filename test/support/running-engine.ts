// The running and assembling parts of the engine over a stage, against one upstream, with time that
// passes only when a test waits: pauses and retries cost nothing.
import { setTimeout as realPause } from "node:timers/promises";
import { vi } from "vitest";
import type { BlobStore } from "../../src/core/blob-store.ts";
import { batchEndpoints } from "../../src/core/endpoints.ts";
import type { FetchRemote } from "../../src/core/remote-file.ts";
import { Signals } from "../../src/core/signals.ts";
import type { AttachmentForm } from "../../src/core/upstream.ts";
import { Assembler } from "../../src/engine/assembler.ts";
import { AttachedFiles } from "../../src/engine/attached-files.ts";
import { FreeSpace } from "../../src/engine/free-space.ts";
import { Leases } from "../../src/engine/leases.ts";
import { Runner } from "../../src/engine/runner.ts";
import { Lanes, wholeLimit } from "../../src/lanes/lanes.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { HttpUpstream } from "../../src/upstream/http-upstream.ts";
import type { EngineStage } from "./engine-stage.ts";

export interface RunningEngineOptions {
  baseUrl: string;
  owner?: string;
  upstreamName?: string;
  models?: string[];
  concurrency?: number;
  maxAttempts?: number;
  cancelGraceMs?: number;
  requestTimeoutMs?: number;
  answerSizeBytes?: number;
  attachments?: AttachmentForm;
  /** Left out: nothing can be fetched. */
  fetchRemote?: FetchRemote;
  /** Takes the place of the stage's blobs. */
  blobs?: BlobStore;
}

type Condition = () => boolean | Promise<boolean>;

export interface RunningEngine extends AsyncDisposable {
  runner: Runner;
  lanes: Lanes;
  leases: Leases;
  assembler: Assembler;
  /**
   * Lets the engine work, and time pass, until the condition holds; fails after ten minutes of that time.
   * @param stepMs how much of it passes while a request goes to and fro
   */
  runUntil(condition: Condition, stepMs?: number): Promise<void>;
  /** The same, but nothing is claimed meanwhile. */
  waitUntil(condition: Condition): Promise<void>;
}

const STEP_MS = 50;
const PATIENCE_MS = 600_000;
const never = new AbortController().signal;

/** Timers are to be faked by the test: see `fakeTimers`. */
export async function startEngine(
  stage: EngineStage,
  options: RunningEngineOptions,
): Promise<RunningEngine> {
  const { store, clock, log } = stage;
  const blobs = options.blobs ?? stage.blobs;
  const metrics = createMetrics(store.batches);
  const upstream = new HttpUpstream({
    name: options.upstreamName ?? "gpu",
    baseUrls: [options.baseUrl],
    apiKey: null,
    models: options.models ?? ["simulated-model"],
    endpoints: batchEndpoints(["/v1/audio/transcriptions"]),
    attachments: options.attachments ?? "multipart",
    requestTimeoutMs: options.requestTimeoutMs ?? 60_000,
    answerSizeBytes: options.answerSizeBytes ?? 10_000_000,
    clock,
  });
  const lanes = new Lanes({
    share: wholeLimit,
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
    files: new AttachedFiles({
      files: store.files,
      blobs,
      clock,
      fetchRemote:
        options.fetchRemote ?? (() => Promise.reject(new Error("there is no network here"))),
    }),
    settings: {
      maxAttempts: options.maxAttempts ?? 3,
      cancelGraceMs: options.cancelGraceMs ?? 5_000,
    },
    pollMs: 1_000,
    onBatchSettled: () => (settled = true),
    onRoom: () => (settled = true),
  });
  const passUntil = async (
    condition: Condition,
    stepMs: number,
    tick: (passedMs: number) => Promise<void>,
  ) => {
    for (let passedMs = 0; passedMs < PATIENCE_MS; passedMs += stepMs) {
      await tick(passedMs);
      if (await condition()) return;
      // What goes over the network or to the disk takes real time, though not much.
      await realPause(1);
      clock.pass(stepMs);
      vi.advanceTimersByTime(stepMs);
    }
    throw new Error("the condition did not come true");
  };
  return {
    runner,
    lanes,
    leases,
    assembler: new Assembler({ store, blobs, leases, signals: new Signals(), clock, log }),
    runUntil: (condition, stepMs = STEP_MS) =>
      passUntil(condition, stepMs, async (passedMs) => {
        // As the engine's loop does: once a second, and whenever there is room.
        if (!settled && passedMs % 1_000 !== 0) return;
        settled = false;
        await store.batches.expireDue(clock.now());
        await runner.tick(never);
      }),
    waitUntil: (condition) => passUntil(condition, STEP_MS, () => Promise.resolve()),
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
