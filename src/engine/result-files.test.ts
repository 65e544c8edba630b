import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  embeddingLine,
  type EngineStage,
  openEngineStage,
} from "../../test/support/engine-stage.ts";
import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { classOf, type RecordKind } from "./journal-record.ts";
import { readJournal } from "./journal-recovery.ts";
import { Journal } from "./journal.ts";
import { readPlanCount, readPlanSlice } from "./plan.ts";
import { writeResultFiles } from "./result-files.ts";
import { ResultIndex } from "./result-index.ts";

const expired = { code: "batch_expired", message: "Too late." };

let stage: EngineStage;
let plan: BlobReader;
let input: BlobReader;
let index: ResultIndex;
let journalKeys: string[];

beforeEach(async () => {
  stage = await openEngineStage();
});
afterEach(async () => {
  await plan.close();
  await input.close();
  await stage[Symbol.asyncDispose]();
});

/** A batch of so many lines, planned; what is to be read of it is open. */
async function prepare(texts: readonly string[]): Promise<void> {
  const id = await stage.planBatch(texts.map((text) => embeddingLine(text)));
  const batch = (await stage.store.batches.get("default", id))!;
  plan = await stage.blobs.open(batch.planKey!);
  input = await stage.blobs.open(`files/${batch.inputFileId}`);
  const count = await readPlanCount(plan);
  index = new ResultIndex(count);
  index.addEntries(await readPlanSlice(plan, 0, count));
  index.sort();
  journalKeys = [];
}

/** Writes a journal with such records, and notes their places. */
async function record(
  results: readonly [lineNumber: number, kind: RecordKind, payload: string][],
): Promise<void> {
  const key = `journals/${journalKeys.length}`;
  const number = journalKeys.push(key) - 1;
  const { blobs } = stage;
  const onFailure = (error: unknown) => {
    throw error;
  };
  const journal = new Journal({ blobs, key, beginCommit: () => () => {}, onFailure });
  for (const [line, kind, payload] of results) {
    journal.append(line, kind, {}, [Buffer.from(payload)], () => {});
  }
  await journal.close();
  await readJournal(blobs, key, null, ({ lineNumber, kind, payloadStart, payloadLength }) => {
    index.addResult(lineNumber, {
      lineClass: classOf(kind)!,
      inBlob: kind.endsWith("-blob"),
      journal: number,
      start: payloadStart,
      length: payloadLength,
    });
  });
}

async function store(key: string, content: string): Promise<void> {
  const writer = await stage.blobs.create(key);
  await writer.write(Buffer.from(content));
  await writer.commit();
}

async function contentOf(key: string): Promise<string | null> {
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stage.blobs.read(key)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  } catch {
    return null;
  }
}

interface WriteOptions {
  unfinished?: typeof expired | null;
  blobs?: BlobStore;
  checkpoint?: () => void;
}

/** Writes the two files; answers them with their sizes. */
async function write({ unfinished = null, blobs = stage.blobs, checkpoint }: WriteOptions = {}) {
  let ids = 0;
  const sizes = await writeResultFiles({
    blobs,
    index,
    journalKeys,
    plan,
    input,
    outputKey: "out",
    errorKey: "err",
    unfinished,
    newLineId: () => `id-${++ids}`,
    checkpoint: checkpoint ?? (() => {}),
  });
  const [output, error] = [await contentOf("out"), await contentOf("err")];
  expect(sizes).toEqual({
    outputBytes: output && Buffer.byteLength(output),
    errorBytes: error && Buffer.byteLength(error),
  });
  return { output, error };
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => `text ${n + 1}`);

test("both files are in the order of the input, whatever the order of plan and journals", async () => {
  // Equal prompts are sent together, so the plan has another order than the input.
  await prepare(["a", "b", "c", "a2", "b2", "c2"]);
  await record([
    [6, "output", "six\n"],
    [2, "output", "two\n"],
    [5, "error", "five\n"],
  ]);
  await record([
    [1, "error", "one\n"],
    [4, "output", "four\n"],
    [3, "output", "three\n"],
  ]);
  expect(await write()).toEqual({ output: "two\nthree\nfour\nsix\n", error: "one\nfive\n" });
});

test("a file without lines is not written", async () => {
  await prepare(["a", "b"]);
  await record([
    [1, "output", "one\n"],
    [2, "output", "two\n"],
  ]);
  expect(await write()).toEqual({ output: "one\ntwo\n", error: null });
});

test("lines without a result say why, by the custom_id of the input", async () => {
  await prepare(["a", "é\u2028", "c", 'd"']);
  await record([[3, "output", "three\n"]]);
  const { output, error } = await write({ unfinished: expired });
  expect(output).toBe("three\n");
  const lines = error!.split("\n").slice(0, -1);
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual(
    ["a", "é\u2028", 'd"'].map((custom_id, at) => {
      return { id: `id-${at + 1}`, custom_id, response: null, error: expired };
    }),
  );
});

test("a line without a result, where there can be none, is an error, and no file is left", async () => {
  await prepare(["a", "b"]);
  await record([[1, "output", "one\n"]]);
  await expect(write()).rejects.toThrow("line 2 has no result");
  expect([await contentOf("out"), await contentOf("err")]).toEqual([null, null]);
});

test("large lines come from blobs of their own, in their place", async () => {
  await prepare(numbered(5));
  const large = (name: string) => `${name.repeat(3_000_000)}\n`;
  await store("answers/2", large("2"));
  await store("answers/4", large("4"));
  await record([
    [1, "output", "one\n"],
    [2, "output-blob", "answers/2"],
    [3, "error", "three\n"],
    [4, "error-blob", "answers/4"],
    [5, "output", "five\n"],
  ]);
  expect(await write()).toEqual({
    output: `one\n${large("2")}five\n`,
    error: `three\n${large("4")}`,
  });
});

test("thousands of lines from more journals than are kept open", async () => {
  const texts = numbered(4_000);
  await prepare(texts);
  const journals = 300;
  for (let journal = 0; journal < journals; journal++) {
    const lines = texts.flatMap((_, at) => (at % journals === journal ? [at + 1] : []));
    await record(
      lines.map((line) => [line, line % 3 === 0 ? "error" : "output", `line ${line}\n`]),
    );
  }
  let open = 0;
  let mostOpen = 0;
  const blobs: BlobStore = new Proxy(stage.blobs, {
    get: (target, name) => {
      if (name !== "open") return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (key: string) => {
        const reader = await target.open(key);
        const close = reader.close.bind(reader);
        mostOpen = Math.max(mostOpen, ++open);
        reader.close = async () => {
          open--;
          await close();
        };
        return reader;
      };
    },
  });
  const { output, error } = await write({ blobs });
  const expected = (isError: boolean) =>
    texts
      .flatMap((_, at) => (((at + 1) % 3 === 0) === isError ? [`line ${at + 1}\n`] : []))
      .join("");
  expect([output, error]).toEqual([expected(false), expected(true)]);
  expect(mostOpen).toBeLessThanOrEqual(256);
  expect(open).toBe(0);
});

test("giving up in between leaves no file", async () => {
  await prepare(numbered(3_000));
  const stop = new Error("stop");
  const checkpoint = vi.fn<() => void>(() => {
    if (checkpoint.mock.calls.length > 2) throw stop;
  });
  await expect(write({ unfinished: expired, checkpoint })).rejects.toBe(stop);
  expect([await contentOf("out"), await contentOf("err")]).toEqual([null, null]);
});
