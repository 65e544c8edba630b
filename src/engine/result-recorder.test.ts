import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import type { ShardClaim, ShardProgress } from "../core/shard-store.ts";
import { noUsage } from "../core/usage.ts";
import { createMetrics } from "../observability/metrics.ts";
import { type JournalRecord, MAX_PAYLOAD_BYTES } from "./journal-record.ts";
import { readJournal } from "./journal-recovery.ts";
import { type Result, ResultRecorder } from "./result-recorder.ts";

let stage: EngineStage;
let claim: ShardClaim;
beforeEach(async () => {
  stage = await openEngineStage();
  claim = await stage.claimShard(await stage.planBatch([embeddingLine("a"), embeddingLine("b")]));
});
afterEach(() => stage[Symbol.asyncDispose]());

function recorderOf(blobs: BlobStore = stage.blobs) {
  const progress: ShardProgress = {
    completed: 0,
    failed: 0,
    usage: noUsage(),
    answeredModel: null,
  };
  const metrics = createMetrics(stage.store.batches);
  const onRecorded = vi.fn<() => void>();
  const onFailure = vi.fn<(error: unknown) => void>();
  const recorder = new ResultRecorder({ blobs, metrics, claim, progress, onRecorded, onFailure });
  return { recorder, progress, metrics, onRecorded, onFailure };
}

const usage = { ...noUsage(), inputTokens: 2, totalTokens: 2 };
const resultOf = (lineNumber: number, change: Partial<Result> = {}): Result => ({
  lineNumber,
  lineClass: "output",
  line: [Buffer.from(`line ${lineNumber}\n`)],
  usage,
  model: "m",
  ...change,
});

const journalKey = () => blobKeys.journal(claim.batchId, claim.shardId, claim.epoch);

async function recorded(limitBytes: number): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  await readJournal(stage.blobs, journalKey(), limitBytes, (record) => records.push(record));
  return records;
}

/** The store, failing where told. */
function failing(name: "create" | "createLog"): BlobStore {
  return new Proxy(stage.blobs, {
    get: (target, asked) =>
      asked === name
        ? () => Promise.reject(new Error("disk on fire"))
        : (Reflect.get(target, asked) as () => unknown).bind(target),
  });
}

test("a result counts when it is durable, not before", async () => {
  const { recorder, progress, metrics, onRecorded } = recorderOf();
  recorder.record(resultOf(1));
  recorder.record(resultOf(2, { lineClass: "error", model: "other" }));
  expect([onRecorded.mock.calls.length, progress.completed]).toEqual([0, 0]);
  const bytes = await recorder.close();
  expect(onRecorded).toHaveBeenCalledTimes(2);
  expect(progress).toEqual({
    completed: 1,
    failed: 1,
    usage: { ...noUsage(), inputTokens: 4, totalTokens: 4 },
    // The model of errors is whatever the error came from.
    answeredModel: "m",
  });
  expect((await recorded(bytes)).map(({ lineNumber, kind }) => [lineNumber, kind])).toEqual([
    [1, "output"],
    [2, "error"],
  ]);
  const text = await metrics.registry.metrics();
  expect(text).toContain('offpeak_lines_total{outcome="completed"} 1');
  expect(text).toContain('offpeak_lines_total{outcome="failed"} 1');
});

test("an answer that names no model or usage changes neither", async () => {
  const { recorder, progress } = recorderOf();
  recorder.record(resultOf(1));
  recorder.record(resultOf(2, { model: null, usage: null }));
  await recorder.close();
  expect(progress).toMatchObject({ completed: 2, usage, answeredModel: "m" });
});

test("a line too large for the journal has a blob of its own, which the journal names", async () => {
  const { recorder, progress } = recorderOf();
  const fits = Buffer.alloc(MAX_PAYLOAD_BYTES, "a");
  const large = Buffer.alloc(MAX_PAYLOAD_BYTES + 1, "b");
  recorder.record(resultOf(1, { line: [large] }));
  recorder.record(resultOf(2, { line: [fits] }));
  recorder.record(resultOf(3, { line: [large], lineClass: "error" }));
  const bytes = await recorder.close();
  const records = await recorded(bytes);
  expect(
    records
      .map(({ lineNumber, kind, extra }) => [lineNumber, kind, extra] as const)
      .toSorted(([a], [b]) => a - b),
  ).toEqual([
    [1, "output-blob", large.length],
    [2, "output", 0],
    [3, "error-blob", large.length],
  ]);
  expect(progress).toMatchObject({ completed: 2, failed: 1 });
  const journal = await stage.blobs.open(journalKey());
  for (const { lineNumber, kind, payloadStart, payloadLength } of records) {
    if (!kind.endsWith("-blob")) continue;
    const key = Buffer.from(await journal.read(payloadStart, payloadLength)).toString();
    expect(key).toBe(blobKeys.answer(claim.batchId, claim.shardId, claim.epoch, lineNumber));
    const blob = await stage.blobs.open(key);
    expect(large.equals(await blob.read(0, blob.sizeBytes))).toBe(true);
    await blob.close();
  }
  await journal.close();
});

test("suspicion is written down, and is no result", async () => {
  const { recorder, progress, onRecorded } = recorderOf();
  recorder.recordSuspicion(7, 2);
  const records = await recorded(await recorder.close());
  expect(records).toMatchObject([{ lineNumber: 7, kind: "suspect", extra: 2, payloadLength: 0 }]);
  expect([progress.completed, progress.failed, onRecorded.mock.calls.length]).toEqual([0, 0, 0]);
});

test("what somebody waits for is not put off where flushes are dear", async () => {
  const dear = new Proxy(stage.blobs, {
    get: (target, asked) =>
      asked === "createLog"
        ? async (key: string) =>
            Object.assign(await target.createLog(key), { appendEveryMs: 3_600_000 })
        : (Reflect.get(target, asked) as () => unknown).bind(target),
  });
  const { recorder, onRecorded } = recorderOf(dear);
  const job = { upstream: "u", replica: "http://r", id: "video_1" };
  await new Promise<void>((resolve) => recorder.recordStarted(1, job, resolve));
  await new Promise<void>((resolve) => recorder.recordStarted(2, job, resolve));
  const first = Promise.withResolvers<void>();
  onRecorded.mockImplementation(() => first.resolve());
  recorder.record(resultOf(3, { line: [Buffer.alloc(MAX_PAYLOAD_BYTES + 1)] }));
  await first.promise;
  recorder.record(resultOf(4));
  recorder.recordSuspicion(5, 1);
  await vi.waitFor(() => expect(onRecorded).toHaveBeenCalledTimes(2));
  recorder.record(resultOf(6));
  recorder.hurry();
  await vi.waitFor(() => expect(onRecorded).toHaveBeenCalledTimes(3));
  await recorder.close();
});

test("says when the disk lags behind, and when it has caught up", async () => {
  const { recorder, onRecorded } = recorderOf();
  expect(recorder.isBehind).toBe(false);
  for (let line = 1; line <= 40; line++) {
    recorder.record(resultOf(line, { line: [Buffer.alloc(1_000_000, "x")] }));
  }
  expect(recorder.isBehind).toBe(true);
  await vi.waitFor(() => expect(onRecorded).toHaveBeenCalledTimes(40), {
    interval: 5,
    timeout: 5_000,
  });
  expect(recorder.isBehind).toBe(false);
  await recorder.close();
});

test("large lines on their way to the disk count too", async () => {
  const { recorder } = recorderOf();
  const large = Buffer.alloc(34 * 1024 * 1024);
  recorder.record(resultOf(1, { line: [large] }));
  expect(recorder.isBehind).toBe(true);
  await recorder.close();
  expect(recorder.isBehind).toBe(false);
});

test.each(["create", "createLog"] as const)(
  "a failing %s is told once, and nothing counts",
  async (name) => {
    const { recorder, progress, onRecorded, onFailure } = recorderOf(failing(name));
    const line = [Buffer.alloc(MAX_PAYLOAD_BYTES + 1)];
    recorder.record(resultOf(1, { line }));
    recorder.record(resultOf(2, { line }));
    expect(await recorder.close()).toBe(0);
    expect(onFailure.mock.calls.map(([error]) => String(error))).toEqual(["Error: disk on fire"]);
    expect([onRecorded.mock.calls.length, progress.completed]).toEqual([0, 0]);
  },
);
