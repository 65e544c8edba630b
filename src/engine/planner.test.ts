import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import type { Batch, ValidationError } from "../core/batch.ts";
import { blobKeys } from "../core/blob-store.ts";
import { defaultUpstreamEndpoints } from "../core/endpoints.ts";
import { defaultLimits, type Limits } from "../core/limits.ts";
import { defaultProjectLimits, type ProjectLimits } from "../core/project.ts";
import { Signals } from "../core/signals.ts";
import { Lanes, wholeLimit } from "../lanes/lanes.ts";
import { createMetrics } from "../observability/metrics.ts";
import { HttpUpstream } from "../upstream/http-upstream.ts";
import { Leases } from "./leases.ts";
import { Planner } from "./planner.ts";

let stage: EngineStage;
let cleanup: AsyncDisposableStack;
let signals: Signals;
beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  stage = await openEngineStage();
  cleanup.use(stage);
  signals = new Signals();
});
afterEach(() => cleanup.disposeAsync());

interface Setup {
  /** Null: not known yet. */
  models?: string[] | null;
  modelAliases?: Record<string, string>;
  limits?: Partial<Limits>;
  limitsOf?: Partial<ProjectLimits>;
  allowSeveralModels?: boolean;
}

function plannerOf(setup: Setup = {}): Planner {
  const { store, blobs, clock, log } = stage;
  const lanes = new Lanes({
    share: wholeLimit,
    upstreams: [
      {
        concurrency: 1,
        upstream: new HttpUpstream({
          name: "gpu",
          baseUrls: ["http://127.0.0.1:1/v1"],
          apiKey: null,
          models: setup.models === undefined ? ["m", "n"] : setup.models,
          endpoints: defaultUpstreamEndpoints,
          attachments: "multipart",
          requestTimeoutMs: 1_000,
          answerSizeBytes: 1_000,
          clock,
        }),
      },
    ],
    modelAliases: setup.modelAliases ?? {},
    models: store.models,
    clock,
    log,
    metrics: createMetrics(null),
  });
  const leases = new Leases({ owner: "node-1", leaseMs: 30_000, store, clock, log });
  cleanup.defer(() => leases.stop());
  cleanup.defer(() => lanes.close());
  return new Planner({
    store,
    blobs,
    lanes,
    leases,
    signals,
    clock,
    log,
    limits: { ...defaultLimits, ...setup.limits },
    limitsOf: () => ({ ...defaultProjectLimits, ...setup.limitsOf }),
    allowSeveralModels: setup.allowSeveralModels ?? false,
    shardLines: 2,
  });
}

const never = new AbortController().signal;
const batchOf = async (id: string): Promise<Batch> =>
  (await stage.store.batches.get("default", id))!;
const lines = (...texts: string[]) => texts.map((text) => `${embeddingLine(text, "m")}\n`).join("");

async function inserted(content: string, change: Parameters<EngineStage["insertBatch"]>[1] = {}) {
  return stage.insertBatch(await stage.storeFile(content), change);
}

const shardsOf = (id: string) => stage.store.shards.claimUnfinished(id, "node-1", 30_000);

const hasBlob = (key: string) =>
  stage.blobs.open(key).then(
    async (reader) => {
      await reader.close();
      return true;
    },
    () => false,
  );

describe("a good input", () => {
  test("turns its batch in_progress, with its shards, and wakes who runs them", async () => {
    const onPlanned = vi.fn<() => void>();
    signals.on("batch-planned", onPlanned);
    const id = await inserted(lines("a", "b", "c"));
    await plannerOf().tick(never);
    expect(await batchOf(id)).toMatchObject({
      status: "in_progress",
      model: "m",
      counts: { total: 3, completed: 0, failed: 0 },
      planKey: blobKeys.plan(id, 1),
      waitingReason: null,
    });
    expect(await shardsOf(id)).toMatchObject([
      { model: "m", firstEntry: 0, entryCount: 2 },
      { model: "m", firstEntry: 2, entryCount: 1 },
    ]);
    expect(onPlanned).toHaveBeenCalledOnce();
  });

  test("that names an alias keeps the name, and its shards know the model behind it", async () => {
    const id = await inserted(`${embeddingLine("a", "gpt")}\n`);
    await plannerOf({ modelAliases: { gpt: "m" } }).tick(never);
    expect(await batchOf(id)).toMatchObject({ status: "in_progress", model: "gpt" });
    expect(await shardsOf(id)).toMatchObject([{ model: "m", requestedModel: "gpt" }]);
  });

  test("with several models, where that is allowed, has no one model", async () => {
    const id = await inserted(lines("a") + `${embeddingLine("b", "n")}\n`);
    await plannerOf({ allowSeveralModels: true }).tick(never);
    expect(await batchOf(id)).toMatchObject({ status: "in_progress", model: null });
  });

  test("every batch that waits is planned", async () => {
    const ids = [await inserted(lines("a")), await inserted("{\n"), await inserted(lines("b"))];
    await plannerOf().tick(never);
    const statuses = await Promise.all(ids.map(async (id) => (await batchOf(id)).status));
    expect(statuses).toEqual(["in_progress", "failed", "in_progress"]);
  });
});

describe("a batch is failed", () => {
  const expectRefusal = async (id: string, error: ValidationError) => {
    expect(await batchOf(id)).toMatchObject({
      status: "failed",
      errors: [error],
      counts: { total: 0, completed: 0, failed: 0 },
    });
    expect(await hasBlob(blobKeys.plan(id, 1))).toBe(false);
  };
  const cannotFind = (fileId: string): ValidationError => ({
    code: "invalid_request",
    message: `Cannot find file ${fileId}, or project default does not have access to it.`,
    param: "file_id",
    line: null,
  });

  test("for what is wrong with its lines", async () => {
    const id = await inserted(`${lines("a")}{\n`);
    await plannerOf().tick(never);
    const message = "This line is not parseable as valid JSON.";
    await expectRefusal(id, { code: "invalid_json_line", message, param: null, line: 2 });
  });

  test("when there is no such file", async () => {
    const id = await stage.insertBatch("file-none");
    await plannerOf().tick(never);
    await expectRefusal(id, cannotFind("file-none"));
  });

  test("when the file is another project's", async () => {
    const fileId = await stage.storeFile(lines("a"), { projectId: "other" });
    const id = await stage.insertBatch(fileId);
    await plannerOf().tick(never);
    await expectRefusal(id, cannotFind(fileId));
  });

  test("when the file was deleted, or has expired, before planning began", async () => {
    const [deleted, expiring] = [
      await stage.storeFile(lines("a")),
      await stage.storeFile(lines("a"), { expiresAt: stage.clock.now() + 1_000 }),
    ];
    const ids = [await stage.insertBatch(deleted), await stage.insertBatch(expiring)];
    await stage.store.files.delete("default", deleted, stage.clock.now());
    stage.clock.pass(1_000);
    await plannerOf().tick(never);
    await expectRefusal(ids[0]!, cannotFind(deleted));
    await expectRefusal(ids[1]!, cannotFind(expiring));
  });

  test("when the file has another purpose", async () => {
    const fileId = await stage.storeFile(lines("a"), { purpose: "user_data" });
    const id = await stage.insertBatch(fileId);
    await plannerOf().tick(never);
    const message = `File ${fileId} has the purpose 'user_data'; the input of a batch must be uploaded with the purpose 'batch'.`;
    await expectRefusal(id, { code: "invalid_request", message, param: "file_id", line: null });
  });

  test("when the file is larger than a batch's may be", async () => {
    const id = await inserted(lines("a"));
    await plannerOf({ limits: { batchFileSizeBytes: 10 } }).tick(never);
    const message = "The batch input file is larger than the 10 maximum.";
    await expectRefusal(id, { code: "file_too_large", message, param: null, line: null });
  });

  test("when the project's queue is full, whatever is asked of it: nothing is planned, and it says what to do", async () => {
    const onEnded = vi.fn<() => void>();
    signals.on("batch-ended", onEnded);
    const first = await inserted(lines("a", "b"));
    const planner = plannerOf({ limitsOf: { queuedLines: 3_000 } });
    await planner.tick(never);
    expect((await batchOf(first)).status).toBe("in_progress");
    expect(onEnded).not.toHaveBeenCalled();
    const limits: [Partial<ProjectLimits>, what: string, allowed: string][] = [
      [{ queuedLines: 3 }, "request", "3"],
      [{ queuedPromptTokens: 1_000 }, "token", "1,000"],
    ];
    for (const [limitsOf, what, allowed] of limits) {
      const id = await inserted(lines("c", "long ".repeat(1_000)));
      await plannerOf({ limitsOf }).tick(never);
      const message =
        `Enqueued ${what} limit reached for m in organization default. Limit: ${allowed} enqueued ${what}s. ` +
        "Please try again once some in_progress batches have been completed.";
      await expectRefusal(id, { code: "token_limit_exceeded", message, param: null, line: null });
      expect(await shardsOf(id)).toEqual([]);
    }
    expect(onEnded).toHaveBeenCalledTimes(2);
  });

  test("when the queue is full for several models, of which it names the first", async () => {
    const content = `${embeddingLine("a", "m")}\n${embeddingLine("b", "n")}\n`;
    const id = await inserted(content);
    await plannerOf({ allowSeveralModels: true, limitsOf: { queuedLines: 1 } }).tick(never);
    expect((await batchOf(id)).errors?.[0]?.message).toMatch(
      /^Enqueued request limit reached for m and 1 more in /,
    );
  });

  test("when no upstream serves its endpoint", async () => {
    const id = await inserted(lines("a"), { endpoint: "/v1/videos" });
    await plannerOf().tick(never);
    const message =
      "The provided url '/v1/videos' is not supported by the Batch API. No upstream of this server serves it; offpeak.yaml says which do, under endpoints.";
    await expectRefusal(id, { code: "url_not_found", message, param: "url", line: null });
  });

  test("when no upstream serves its model, which says so on each line", async () => {
    const id = await inserted(`${embeddingLine("a", "gpt")}\n${embeddingLine("b", "gpt")}\n`);
    await plannerOf().tick(never);
    expect((await batchOf(id)).errors).toMatchObject([
      { code: "model_not_found", line: 1, message: expect.stringContaining("served: 'm', 'n'.") },
      { code: "model_not_found", line: 2 },
    ]);
  });
});

describe("a batch goes on `validating`", () => {
  test("while the models of an upstream are not known, and says so; it is planned when they are", async () => {
    const id = await inserted(lines("a"));
    await plannerOf({ models: null }).tick(never);
    expect(await batchOf(id)).toMatchObject({
      status: "validating",
      waitingReason: "waiting for upstream gpu to list its models (no answer yet)",
    });
    await plannerOf().tick(never);
    expect(await batchOf(id)).toMatchObject({ status: "in_progress", waitingReason: null });
  });

  test("while its input can't be read, and says so; the claim runs out before the next try", async () => {
    const fileId = await stage.storeFile(lines("a"));
    const id = await stage.insertBatch(fileId);
    await stage.blobs.delete(blobKeys.file(fileId));
    const planner = plannerOf();
    // One that can't be planned doesn't stand in front of the others.
    const next = await inserted(lines("b"));
    await planner.tick(never);
    expect(await batchOf(next)).toMatchObject({ status: "in_progress" });
    expect(await batchOf(id)).toMatchObject({
      status: "validating",
      waitingReason: expect.stringContaining("its input can't be read: There is no blob"),
    });
    await planner.tick(never);
    const failures = () => stage.logged().filter(({ level }) => level === "error").length;
    expect(failures()).toBe(1);
    stage.clock.pass(30_001);
    await planner.tick(never);
    expect(failures()).toBe(2);
  });

  test("when the node stops in between; the next one plans it", async () => {
    const id = await inserted(lines("a", "b"));
    const stopping = new AbortController();
    const opened = vi.spyOn(stage.blobs, "open").mockImplementationOnce((key) => {
      stopping.abort();
      return stage.blobs.open(key);
    });
    await plannerOf().tick(stopping.signal);
    expect(opened).toHaveBeenCalled();
    expect(await batchOf(id)).toMatchObject({ status: "validating" });
    await plannerOf().tick(never);
    expect(await batchOf(id)).toMatchObject({
      status: "in_progress",
      planKey: blobKeys.plan(id, 2),
    });
  });
});

test("a batch that is cancelled while it is planned is left to the assembler, without a plan", async () => {
  const id = await inserted(lines("a", "b"));
  const onEnding = vi.fn<() => void>();
  signals.on("batch-ending", onEnding);
  vi.spyOn(stage.blobs, "open").mockImplementationOnce(async (key) => {
    await stage.store.batches.requestCancel("default", id, stage.clock.now());
    return stage.blobs.open(key);
  });
  await plannerOf().tick(never);
  expect(await batchOf(id)).toMatchObject({ status: "cancelling", planKey: null });
  expect(await hasBlob(blobKeys.plan(id, 1))).toBe(false);
  expect(onEnding).toHaveBeenCalled();
  expect(await stage.store.batches.claimAssembling("node-1", 30_000)).toBeDefined();
});

test("a file deleted after planning began no longer fails the batch", async () => {
  const fileId = await stage.storeFile(lines("a"));
  const id = await stage.insertBatch(fileId);
  const claim = (await stage.store.batches.claimPlanning("node-2", 1, []))!;
  await stage.store.batches.startPlanning(id, claim.epoch, stage.clock.now());
  await stage.store.files.delete("default", fileId, stage.clock.now());
  stage.clock.pass(10);
  await plannerOf().tick(never);
  expect(await batchOf(id)).toMatchObject({ status: "in_progress" });
});

test("a batch still `validating` at its deadline is planned, whatever the models, and then expires", async () => {
  const id = await inserted(`${embeddingLine("a", "gone")}\n`);
  stage.clock.pass(86_400_000);
  await plannerOf({ models: null }).tick(never);
  expect(await batchOf(id)).toMatchObject({ status: "in_progress" });
  expect(await stage.store.batches.expireDue(stage.clock.now())).toEqual([id]);
});
