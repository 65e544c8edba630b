// Shards whose storage fails, hangs or is dear, from their claim to their end.
import { expect, test, vi } from "vitest";
import { idsOf, numbered, RunnerStage } from "../../test/support/runner-stage.ts";
import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import { StorageUnavailableError } from "../core/store.ts";
import { JOURNAL_HEADER_BYTES } from "./journal-record.ts";

const on = RunnerStage.forEachTest();

test("a journal that can't be written: the shard is given back, tried again later, and no result is lost", async () => {
  await on.simulate({ timeToFirstTokenMs: 40 });
  let journals = 0;
  let broken = 0;
  const blobs: BlobStore = new Proxy(on.stage.blobs, {
    get: (target, name) => {
      if (name !== "createLog") return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (key: string) => {
        const log = await target.createLog(key);
        const append = log.append.bind(log);
        const isBad = ++journals <= 2;
        log.append = async (parts) => {
          // The header fits, and nothing more.
          if (isBad && log.sizeBytes >= JOURNAL_HEADER_BYTES) {
            broken++;
            throw new Error("no space left on device");
          }
          await append(parts);
        };
        return log;
      };
    },
  });
  const engine = await on.startedEngine({ concurrency: 1, blobs });
  const texts = numbered(10);
  const id = await on.planned(texts);
  const { batch, output } = await on.finished(engine, id);
  expect(broken).toBe(2);
  expect(batch.counts).toEqual({ total: 10, completed: 10, failed: 0 });
  expect(idsOf(output)).toEqual(texts);
  expect(on.stage.logged().filter(({ level }) => level === "error")).toHaveLength(2);
});

test("an input that can't be read at present is not taken for damaged: it is tried again", async () => {
  await on.simulate({ timeToFirstTokenMs: 40 });
  let failures = 0;
  const blobs: BlobStore = new Proxy(on.stage.blobs, {
    get: (target, name) => {
      if (name !== "open") return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (key: string) => {
        const reader = await target.open(key);
        if (!key.startsWith(blobKeys.files)) return reader;
        const read = reader.read.bind(reader);
        reader.read = async (...range) => {
          if (++failures > 2) return read(...range);
          throw new StorageUnavailableError("no route to host");
        };
        return reader;
      };
    },
  });
  const engine = await on.startedEngine({ concurrency: 1, blobs });
  const texts = numbered(10);
  const { batch, output } = await on.finished(engine, await on.planned(texts));
  expect(failures).toBeGreaterThan(2);
  expect(batch.counts).toEqual({ total: 10, completed: 10, failed: 0 });
  expect(idsOf(output)).toEqual(texts);
  expect(new Set(on.sent().values())).toEqual(new Set([1]));
});

test("a storage that hangs is why the batch does not move, and nothing more is claimed, until it answers", async () => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
  await on.simulate({ timeToFirstTokenMs: 1 });
  const answers = Promise.withResolvers<void>();
  const blobs: BlobStore = new Proxy(on.stage.blobs, {
    get: (target, name) => {
      if (name !== "createLog") return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (key: string) => {
        await answers.promise;
        return target.createLog(key);
      };
    },
  });
  const engine = await on.startedEngine({ concurrency: 2, blobs });
  const id = await on.planned(numbered(6));
  const reason = "results can't be stored: the storage does not answer";
  await engine.runUntil(async () => (await on.batchOf(id)).waitingReason === reason);
  expect(on.isLogged("batches wait")).toBe(true);
  answers.resolve();
  const { batch } = await on.finished(engine, id);
  expect(batch).toMatchObject({ status: "completed", counts: { completed: 6 } });
  expect(batch.waitingReason).toBeNull();
  await engine.runUntil(() => on.isLogged("batches go on"));
});

test("where flushes are dear results are gathered, and nobody waits for them at the end", async () => {
  await on.simulate({ timeToFirstTokenMs: 1 });
  const blobs: BlobStore = new Proxy(on.stage.blobs, {
    get: (target, name) => {
      if (name !== "createLog") return (Reflect.get(target, name) as () => unknown).bind(target);
      // No test waits for so long.
      return async (key: string) =>
        Object.assign(await target.createLog(key), { appendEveryMs: 3_600_000 });
    },
  });
  const engine = await on.startedEngine({ concurrency: 3, blobs });
  const texts = numbered(20);
  const { batch, output } = await on.finished(engine, await on.planned(texts));
  expect(batch.counts).toEqual({ total: 20, completed: 20, failed: 0 });
  expect(idsOf(output)).toEqual(texts);
});
