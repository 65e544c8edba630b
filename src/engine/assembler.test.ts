import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import type { Batch } from "../core/batch.ts";
import { blobKeys } from "../core/blob-store.ts";
import type { ShardClaim } from "../core/shard-store.ts";
import { Signals } from "../core/signals.ts";
import { type BatchStore, ConflictError, LeaseLostError, type Store } from "../core/store.ts";
import { noUsage } from "../core/usage.ts";
import { Assembler } from "./assembler.ts";
import { Journal } from "./journal.ts";
import { Leases } from "./leases.ts";

const never = new AbortController().signal;
const texts = ["a", "b", "c", "d"];
let stage: EngineStage;
let batchId: string;
beforeEach(async () => {
  stage = await openEngineStage();
  batchId = await stage.planBatch(texts.map((text) => embeddingLine(text)));
});
afterEach(() => stage[Symbol.asyncDispose]());

let signals: Signals;
beforeEach(() => {
  signals = new Signals();
});

/** An assembler over the stage, with some of the batches' methods changed. */
function assemblerOf(changes: Partial<BatchStore> = {}): Assembler {
  const { blobs, clock, log } = stage;
  const store: Store = { ...stage.store, batches: { ...stage.store.batches, ...changes } };
  const leases = new Leases({ owner: "node-1", leaseMs: 30_000, store, clock, log });
  return new Assembler({ store, blobs, leases, signals, clock, log });
}

const batchOf = async (): Promise<Batch> => (await stage.store.batches.get("default", batchId))!;
const usage = { ...noUsage(), inputTokens: 1, totalTokens: 1 };

/** Records results for these lines under a claim of its own; answers how many bytes that took. */
async function record(claim: ShardClaim, lines: readonly number[]): Promise<number> {
  const key = blobKeys.journal(batchId, claim.shardId, claim.epoch);
  const onFailure = (error: unknown) => {
    throw error;
  };
  const journal = new Journal({ blobs: stage.blobs, key, beginCommit: () => () => {}, onFailure });
  for (const line of lines) {
    const payload = [Buffer.from(`line ${line}\n`)];
    journal.append(line, line === 2 ? "error" : "output", { usage }, payload, () => {});
  }
  return journal.close();
}

/** All lines recorded, and the batch `finalizing`. */
async function finalizing(): Promise<void> {
  const claim = await stage.claimShard(batchId);
  const bytes = await record(claim, [3, 1, 2, 4]);
  const progress = { completed: 3, failed: 1, usage: noUsage(), answeredModel: null };
  await stage.store.shards.finish(claim.shardId, claim.epoch, bytes, progress, stage.clock.now());
}

async function contentOf(fileId: string | null): Promise<string | null> {
  if (fileId === null) return null;
  const chunks: Uint8Array[] = [];
  for await (const chunk of stage.blobs.read(blobKeys.file(fileId))) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Ids of files of which there are bytes, the input's left out. */
async function filesKept(): Promise<string[]> {
  const { inputFileId } = await batchOf();
  const ids: string[] = [];
  for await (const { key } of stage.blobs.list(blobKeys.files)) {
    if (key !== blobKeys.file(inputFileId)) ids.push(key.slice(blobKeys.files.length));
  }
  return ids;
}

test("that a batch has ended is signalled, once it has", async () => {
  await finalizing();
  const onEnded = vi.fn<() => void>();
  signals.on("batch-ended", onEnded);
  const stopping = new AbortController();
  const finish = () => {
    stopping.abort();
    return Promise.reject(new ConflictError("cancelled in between"));
  };
  await assemblerOf({ finish }).tick(stopping.signal);
  expect(onEnded).not.toHaveBeenCalled();
  await assemblerOf().tick(never);
  expect(onEnded).toHaveBeenCalledOnce();
});

test("a batch whose lines are all recorded ends as completed, with its files, counts and usage", async () => {
  await finalizing();
  await assemblerOf().tick(never);
  const batch = await batchOf();
  expect(batch).toMatchObject({
    status: "completed",
    counts: { total: 4, completed: 3, failed: 1 },
    usage: { inputTokens: 4, totalTokens: 4 },
  });
  expect(await contentOf(batch.outputFileId)).toBe("line 1\nline 3\nline 4\n");
  expect(await contentOf(batch.errorFileId)).toBe("line 2\n");
  const file = await stage.store.files.get("default", batch.outputFileId!, stage.clock.now());
  expect(file).toMatchObject({
    purpose: "batch_output",
    filename: `${batchId}_output.jsonl`,
    sizeBytes: 21,
    expiresAt: stage.clock.now() + 30 * 86_400_000,
  });
});

test("a batch that is cancelled keeps what a dead node had recorded, and seals it", async () => {
  const claim = await stage.claimShard(batchId, "node-dead");
  const acceptedBytes = await record(claim, [1, 3]);
  await stage.store.batches.requestCancel("default", batchId, stage.clock.now());
  await assemblerOf().tick(never);
  expect((await batchOf()).status).toBe("cancelling");
  stage.clock.pass(30_001);
  await assemblerOf().tick(never);
  const batch = await batchOf();
  expect(batch).toMatchObject({
    status: "cancelled",
    counts: { total: 4, completed: 2, failed: 0 },
  });
  expect(await contentOf(batch.outputFileId)).toBe("line 1\nline 3\n");
  const errors = (await contentOf(batch.errorFileId))!.split("\n").slice(0, -1);
  expect(errors.map((line) => JSON.parse(line) as object)).toMatchObject(
    ["b", "d"].map((custom_id) => ({ custom_id, error: { code: "batch_cancelled" } })),
  );
  // What the dead node may still write is nobody's.
  const [journal] = await stage.store.shards.journals(batchId);
  expect(journal).toMatchObject({ epoch: claim.epoch, acceptedBytes });
});

test("a suspended owner that wakes just then and renews its lease adds nothing, and hides nothing", async () => {
  const claim = await stage.claimShard(batchId, "node-suspended");
  const { shardId, epoch } = claim;
  const acceptedBytes = await record(claim, [1, 3]);
  await stage.store.batches.requestCancel("default", batchId, stage.clock.now());
  stage.clock.pass(30_001);
  const progress = { completed: 2, failed: 0, usage: noUsage(), answeredModel: null };
  const { shards } = stage.store;
  const assembler = assemblerOf({
    claimAssembling: async (...given) => {
      const taken = await stage.store.batches.claimAssembling(...given);
      await shards.renew("node-suspended", 30_000, [{ shardId, epoch, progress }]);
      return taken;
    },
  });
  await assembler.tick(never);
  const batch = await batchOf();
  expect(batch).toMatchObject({ status: "cancelled", counts: { total: 4, completed: 2 } });
  expect(await contentOf(batch.outputFileId)).toBe("line 1\nline 3\n");
  await expect(shards.release(shardId, epoch, acceptedBytes, progress)).rejects.toThrow(
    LeaseLostError,
  );
});

test("a batch that was never planned ends as cancelled without files", async () => {
  const id = await stage.insertBatch(await stage.storeFile("{"));
  await stage.store.batches.requestCancel("default", id, stage.clock.now());
  await assemblerOf().tick(never);
  expect(await stage.store.batches.get("default", id)).toMatchObject({
    status: "cancelled",
    outputFileId: null,
    errorFileId: null,
    counts: { total: 0, completed: 0, failed: 0 },
  });
});

test("a cancel while the files are written: they go, and are written again as a cancel wants them", async () => {
  await finalizing();
  let cancelled = false;
  const assembler = assemblerOf({
    finish: async (...given) => {
      if (!cancelled) {
        cancelled = true;
        await stage.store.batches.requestCancel("default", batchId, stage.clock.now());
      }
      await stage.store.batches.finish(...given);
    },
  });
  await assembler.tick(never);
  const batch = await batchOf();
  expect(batch).toMatchObject({
    status: "cancelled",
    counts: { total: 4, completed: 3, failed: 1 },
  });
  expect(new Set(await filesKept())).toEqual(new Set([batch.outputFileId, batch.errorFileId]));
});

test("when the store's answer to the end is lost, the files of the ended batch are kept", async () => {
  await finalizing();
  const assembler = assemblerOf({
    finish: async (...given) => {
      await stage.store.batches.finish(...given);
      throw new Error("connection lost");
    },
  });
  await assembler.tick(never);
  expect(stage.logged().filter(({ level }) => level === "error")).toHaveLength(1);
  const batch = await batchOf();
  expect(batch.status).toBe("completed");
  expect(await contentOf(batch.outputFileId)).toBe("line 1\nline 3\nline 4\n");
  expect(await contentOf(batch.errorFileId)).toBe("line 2\n");
});

test("files that can't be written leave the batch as it is, with the reason, until the claim has run out", async () => {
  await finalizing();
  const { inputFileId } = await batchOf();
  const input = await contentOf(inputFileId);
  await stage.blobs.delete(blobKeys.file(inputFileId));
  await assemblerOf().tick(never);
  expect(await batchOf()).toMatchObject({
    status: "finalizing",
    waitingReason: expect.stringContaining("its files can't be written: There is no blob"),
  });
  const writer = await stage.blobs.create(blobKeys.file(inputFileId));
  await writer.write(Buffer.from(input!));
  await writer.commit();
  await assemblerOf().tick(never);
  expect((await batchOf()).status).toBe("finalizing");
  stage.clock.pass(30_001);
  await assemblerOf().tick(never);
  expect(await batchOf()).toMatchObject({ status: "completed", waitingReason: null });
});

test("when the node stops in between, no file is left, and the next one ends the batch", async () => {
  await finalizing();
  const stopping = new AbortController();
  const assembler = assemblerOf({
    claimAssembling: async (...given) => {
      const claim = await stage.store.batches.claimAssembling(...given);
      stopping.abort();
      return claim;
    },
  });
  await assembler.tick(stopping.signal);
  expect([(await batchOf()).status, await filesKept()]).toEqual(["finalizing", []]);
  await assemblerOf().tick(never);
  expect((await batchOf()).status).toBe("completed");
});
