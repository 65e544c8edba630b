import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import { blobKeys } from "../core/blob-store.ts";
import type { ShardClaim } from "../core/shard-store.ts";
import { LeaseLostError } from "../core/store.ts";
import { noUsage } from "../core/usage.ts";
import { classOf, type RecordKind } from "./journal-record.ts";
import { JournalCorruptError } from "./journal-recovery.ts";
import { Journal } from "./journal.ts";
import { encodeStartedJob, type StartedJob } from "./started-job.ts";
import { takeOver } from "./take-over.ts";

let stage: EngineStage;
let batchId: string;
beforeEach(async () => {
  stage = await openEngineStage();
  batchId = await stage.planBatch(["a", "b", "c", "d", "e"].map((text) => embeddingLine(text)));
});
afterEach(() => stage[Symbol.asyncDispose]());

type Entry = [lineNumber: number, kind: RecordKind, extra?: number, job?: StartedJob];
const usage = { ...noUsage(), inputTokens: 3, totalTokens: 3 };

/** Writes the journal of a claim, each entry in a flush of its own, and leaves it open to a take-over. */
async function write(claim: ShardClaim, entries: readonly Entry[]): Promise<Journal> {
  const journal = new Journal({
    blobs: stage.blobs,
    key: keyOf(claim),
    beginCommit: () => () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  for (const [lineNumber, kind, extra, job] of entries) {
    const isResult = classOf(kind) !== null;
    const payload = job ? encodeStartedJob(job) : Buffer.from("{}\n");
    await new Promise<void>((resolve) => {
      const about = { extra: extra ?? 0, usage: isResult ? usage : null };
      journal.append(lineNumber, kind, about, [payload], resolve);
    });
  }
  return journal;
}

const keyOf = ({ shardId, epoch }: ShardClaim) => blobKeys.journal(batchId, shardId, epoch);

/** The lease of whoever holds the shard runs out, and somebody claims it. */
async function nextClaim(): Promise<ShardClaim> {
  stage.clock.pass(60_000);
  return stage.claimShard(batchId);
}

const takeOverNow = (claim: ShardClaim) => takeOver(stage.store, stage.blobs, claim);
const seals = async (claim: ShardClaim) =>
  (await stage.store.shards.olderJournals(claim.shardId)).map(({ acceptedBytes }) => acceptedBytes);

test("nothing is done when nobody has begun", async () => {
  const claim = await stage.claimShard(batchId);
  expect(await takeOverNow(claim)).toEqual({
    recorded: new Set(),
    suspects: new Map(),
    started: new Map(),
    progress: { completed: 0, failed: 0, usage: noUsage(), answeredModel: null },
  });
});

test("learns what is done, and the figures, from the journals of all epochs before", async () => {
  const first = await stage.claimShard(batchId);
  await (
    await write(first, [
      [1, "output"],
      [2, "error"],
    ])
  ).close();
  const second = await nextClaim();
  await takeOverNow(second);
  await (
    await write(second, [
      [3, "output-blob", 2_000_000],
      [4, "error-blob", 2_000_000],
    ])
  ).close();
  const third = await nextClaim();
  const { recorded, progress } = await takeOverNow(third);
  expect([...recorded]).toEqual([1, 2, 3, 4]);
  expect(progress).toMatchObject({
    completed: 2,
    failed: 2,
    usage: { inputTokens: 12, totalTokens: 12 },
  });
});

test("seals each journal where its last whole record ends, and what comes later is nobody's", async () => {
  const first = await stage.claimShard(batchId);
  const journal = await write(first, [
    [1, "output"],
    [2, "output"],
  ]);
  const durableBytes = journal.durableBytes;
  const second = await nextClaim();
  expect([...(await takeOverNow(second)).recorded]).toEqual([1, 2]);
  expect(await seals(second)).toEqual([durableBytes]);
  // The former owner wakes and writes on.
  await new Promise<void>((resolve) => {
    journal.append(3, "output", {}, ["{}\n"], resolve);
  });
  await journal.close();
  const third = await nextClaim();
  expect([...(await takeOverNow(third)).recorded]).toEqual([1, 2]);
  expect(await seals(third)).toEqual([durableBytes, 0]);
});

test("a torn end is left out of the seal", async () => {
  const first = await stage.claimShard(batchId);
  const journal = await write(first, [
    [1, "output"],
    [2, "output"],
  ]);
  const bytes = await journal.close();
  const path = stage.blobPath(keyOf(first));
  writeFileSync(path, readFileSync(path).subarray(0, bytes - 1));
  const second = await nextClaim();
  expect([...(await takeOverNow(second)).recorded]).toEqual([1]);
  const [sealed] = await seals(second);
  expect(sealed).toBeLessThan(bytes - 1);
  // Taking over again finds the same.
  const third = await nextClaim();
  expect([...(await takeOverNow(third)).recorded]).toEqual([1]);
});

test("damage stops it, and seals nothing", async () => {
  const first = await stage.claimShard(batchId);
  await (
    await write(first, [
      [1, "output"],
      [2, "output"],
    ])
  ).close();
  const path = stage.blobPath(keyOf(first));
  const bytes = readFileSync(path);
  bytes[40] = bytes[40]! ^ 1;
  writeFileSync(path, bytes);
  const second = await nextClaim();
  await expect(takeOverNow(second)).rejects.toThrow(JournalCorruptError);
  expect(await seals(second)).toEqual([null]);
});

test("a claim that is lost meanwhile seals nothing", async () => {
  const first = await stage.claimShard(batchId);
  await (await write(first, [[1, "output"]])).close();
  const second = await nextClaim();
  const third = await nextClaim();
  await expect(takeOverNow(second)).rejects.toThrow(LeaseLostError);
  expect([...(await takeOverNow(third)).recorded]).toEqual([1]);
});

test("suspicion is handed on: the last count of each line that has no result", async () => {
  const first = await stage.claimShard(batchId);
  const entries: Entry[] = [
    [1, "suspect", 0],
    [2, "suspect", 0],
    [3, "suspect", 0],
    [2, "suspect", 1],
    [3, "output"],
  ];
  await (await write(first, entries)).close();
  const second = await nextClaim();
  expect([...(await takeOverNow(second)).suspects]).toEqual([
    [1, 0],
    [2, 1],
  ]);
  await (await write(second, [[2, "suspect", 2]])).close();
  const third = await nextClaim();
  const { suspects, recorded } = await takeOverNow(third);
  expect([...suspects]).toEqual([
    [1, 0],
    [2, 2],
  ]);
  expect([...recorded]).toEqual([3]);
});

test("jobs are handed on: the last one begun for each line that has no result", async () => {
  const jobOf = (id: string) => ({ upstream: "gpu", replica: "http://gpu/v1", id });
  const first = await stage.claimShard(batchId);
  const entries: Entry[] = [
    [1, "started", 0, jobOf("one")],
    [2, "started", 0, jobOf("two")],
    [3, "started", 0, jobOf("three")],
    [2, "output"],
    [3, "started", 0, jobOf("four")],
  ];
  await (await write(first, entries)).close();
  const second = await nextClaim();
  const { started, recorded } = await takeOverNow(second);
  expect([...started]).toEqual([
    [1, jobOf("one")],
    [3, jobOf("four")],
  ]);
  expect([...recorded]).toEqual([2]);
});

test("a line is a suspect, or has a job: what came last", async () => {
  const job = { upstream: "gpu", replica: "http://gpu/v1", id: "one" };
  const first = await stage.claimShard(batchId);
  const entries: Entry[] = [
    [1, "suspect", 1],
    [1, "started", 0, job],
    [2, "started", 0, job],
    [2, "suspect", 1],
  ];
  await (await write(first, entries)).close();
  const { started, suspects } = await takeOverNow(await nextClaim());
  expect([[...started.keys()], [...suspects.keys()]]).toEqual([[1], [2]]);
});
