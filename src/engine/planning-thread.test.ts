import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { until } from "../../test/support/until.ts";
import type { BlobReader } from "../core/blob-store.ts";
import { findEndpoint } from "../core/endpoints.ts";
import type { InputRules } from "../core/input-validator.ts";
import { defaultLimits } from "../core/limits.ts";
import { type PassWork, PlanningThread } from "./planning-thread.ts";

let thread: PlanningThread;
beforeEach(() => {
  thread = new PlanningThread();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await thread.end();
});

const line = (id: string, model = "m") =>
  `${JSON.stringify({ custom_id: id, method: "POST", url: "/v1/embeddings", body: { model, input: id } })}\n`;

function readerOf(content: string): BlobReader {
  const bytes = Buffer.from(content);
  return {
    sizeBytes: bytes.length,
    read: (start, length, into = new Uint8Array(length)) => {
      const part = bytes.subarray(start, start + length);
      into.set(part);
      return Promise.resolve(into.subarray(0, part.length));
    },
    close: () => Promise.resolve(),
  };
}

function workOn(
  content: string,
  changes: Partial<PassWork> = {},
  rules: Partial<InputRules> = {},
): PassWork {
  return {
    reader: readerOf(content),
    shardLines: 1_000,
    checkpoint: () => {},
    write: () => Promise.resolve(),
    rules: {
      endpoint: findEndpoint("/v1/embeddings")!,
      limits: defaultLimits,
      allowSeveralModels: true,
      serves: () => true,
      servedModels: [],
      ...rules,
    },
    ...changes,
  };
}

/** Starts one that takes a while: longer than it takes to end it. */
const longInput = Array.from({ length: 40_000 }, (_, n) => line(`line-${n}`)).join("");

test("asks for every model that is new to it, when it comes to it", async () => {
  const asked: string[] = [];
  const serves = (model: string) => {
    asked.push(model);
    return model !== "b";
  };
  const content = line("1", "a") + line("2", "b") + line("3", "a") + line("4", "c");
  expect(await thread.run(workOn(content, {}, { serves }))).toMatchObject({
    ok: false,
    errors: [{ code: "model_not_found", line: 2 }],
  });
  expect(asked).toEqual(["a", "b", "c"]);
});

test("what fails in answering it fails the pass as it is, and the next pass runs", async () => {
  const failure = new Error("models unknown");
  const refuse = () => {
    throw failure;
  };
  await expect(thread.run(workOn(line("1"), {}, { serves: refuse }))).rejects.toBe(failure);
  await expect(thread.run(workOn(longInput, { checkpoint: refuse }))).rejects.toBe(failure);
  const write = () => Promise.reject(failure);
  await expect(thread.run(workOn(line("1"), { write }))).rejects.toBe(failure);
  const unreadable = { ...readerOf(line("1")), read: () => Promise.reject(failure) };
  await expect(thread.run(workOn("", { reader: unreadable }))).rejects.toBe(failure);
  expect(await thread.run(workOn(line("1")))).toMatchObject({ ok: true, total: 1 });
});

test("what fails in the thread fails the pass, and the next pass runs", async () => {
  const reader = readerOf(line("1") + line("1"));
  const garbled: BlobReader = {
    ...reader,
    read: (start, length, into) =>
      into ? reader.read(start, length, into) : Promise.resolve(Buffer.from("?")),
  };
  await expect(thread.run(workOn("", { reader: garbled }))).rejects.toThrow(SyntaxError);
  expect(await thread.run(workOn(line("1")))).toMatchObject({ ok: true, total: 1 });
});

test("a pass that is given up is over at once, however far it is, and so is the thread's part in it", async () => {
  let chunks = 0;
  const stop = new Error("stop");
  const checkpoint = () => {
    if (++chunks === 3) throw stop;
  };
  await expect(thread.run(workOn(longInput.repeat(5), { checkpoint }))).rejects.toBe(stop);
  expect(chunks).toBe(3);
  expect(await thread.run(workOn(line("1")))).toMatchObject({ ok: true, total: 1 });
});

test("when the thread ends, the pass under way says so, and the next one starts another thread", async () => {
  let asked = 0;
  const end = () => {
    if (++asked === 2) void thread.end();
  };
  await expect(thread.run(workOn(longInput, { checkpoint: end }))).rejects.toThrow(
    "the planning thread has ended: it was told to",
  );
  expect(await thread.run(workOn(line("1")))).toMatchObject({ ok: true, total: 1 });
  // Also while the last one is still ending.
  const ended = thread.end();
  expect(await thread.run(workOn(line("2")))).toMatchObject({ ok: true, total: 1 });
  await ended;
});

test("a thread that runs out of memory fails its pass with the reason, and nothing else", async () => {
  await using small = new PlanningThread({ heapMb: 32 });
  // Objects take far more memory than their text.
  const huge = `[${"{},".repeat(900_000)}{}]\n`;
  await expect(small.run(workOn(huge))).rejects.toThrow(
    /^the planning thread has ended: .*memory limit/,
  );
  expect(await small.run(workOn(line("1")))).toMatchObject({ ok: true, total: 1 });
});

test("a thread with nothing to do ends", async () => {
  const ended = vi.spyOn(Worker.prototype, "terminate");
  await using idle = new PlanningThread({ idleMs: 1 });
  await idle.run(workOn(line("1")));
  await until("the thread to end", () => ended.mock.calls.length > 0);
  expect(await idle.run(workOn(line("2")))).toMatchObject({ ok: true });
});

test("takes one pass at a time", async () => {
  const first = thread.run(workOn(line("1")));
  await expect(thread.run(workOn(line("2")))).rejects.toThrow("one pass at a time");
  expect(await first).toMatchObject({ ok: true });
});
