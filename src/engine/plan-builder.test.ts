import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openWorkplace, type Workplace } from "../../test/support/workplace.ts";
import type { BlobStore } from "../core/blob-store.ts";
import { findEndpoint } from "../core/endpoints.ts";
import type { InputRules } from "../core/input-validator.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { type BuiltPlan, buildPlan, type PlanInput } from "./plan-builder.ts";
import { type PlanEntry, readPlanCount, readPlanSlice } from "./plan.ts";
import { PlanningThread } from "./planning-thread.ts";

/** Lines that are left out, and make an input too large to be planned at once. */
const FILLING = "\n".repeat(1024 * 1024);
let filling = "";
let place: Workplace;
let blobs: BlobStore;
const thread = new PlanningThread();
afterAll(() => thread.end());

beforeEach(async () => {
  place = openWorkplace();
  blobs = await openDiskBlobStore({ directory: place.path("data") });
});

afterEach(async () => {
  filling = "";
  vi.restoreAllMocks();
  await blobs.close();
  place[Symbol.dispose]();
});

interface Setup {
  endpoint?: string;
  shardLines?: number;
  limits?: Partial<InputRules["limits"]>;
  allowSeveralModels?: boolean;
  checkpoint?: () => void;
  resolve?: PlanInput["resolve"];
}

async function plan(input: string | Uint8Array, setup: Setup = {}): Promise<BuiltPlan> {
  const writer = await blobs.create("input");
  await writer.write(Buffer.from(input));
  await writer.write(Buffer.from(filling));
  await writer.commit();
  const limits = {
    linesPerBatch: 1_000_000,
    lineSizeBytes: 1_000_000,
    embeddingInputsPerBatch: 1_000_000,
    validationErrors: 10,
    ...setup.limits,
  };
  return buildPlan({
    blobs,
    thread,
    inputKey: "input",
    planKey: "plan",
    shardLines: setup.shardLines ?? 1_000,
    resolve: setup.resolve ?? ((model) => model),
    checkpoint: setup.checkpoint ?? (() => {}),
    rules: {
      endpoint: findEndpoint(setup.endpoint ?? "/v1/embeddings")!,
      limits,
      allowSeveralModels: setup.allowSeveralModels ?? false,
      serves: () => true,
      servedModels: [],
    },
  });
}

async function entriesOfPlan(): Promise<PlanEntry[]> {
  const reader = await blobs.open("plan");
  const count = await readPlanCount(reader);
  const slice = await readPlanSlice(reader, 0, count);
  await reader.close();
  return Array.from({ length: count }, (_, at) => slice.entry(at));
}

const line = (id: string, input: unknown, model = "m") =>
  JSON.stringify({
    custom_id: id,
    method: "POST",
    url: "/v1/embeddings",
    body: { model, input },
  });

const hasPlan = () =>
  blobs.open("plan").then(
    async (reader) => {
      await reader.close();
      return true;
    },
    () => false,
  );

describe.each([
  ["a small input, planned at once", ""],
  ["a large input, planned in the thread", FILLING],
])("%s:", (_what, given) => {
  beforeEach(() => {
    filling = given;
  });

  describe("the plan", () => {
    test("finds every line, its body and its custom_id in the input", async () => {
      const input = Buffer.from(
        `\uFEFF${line("é1", "a")}\r\n\n  ${line("é2", "b")}\n${line("é3", "c")}`,
      );
      expect(await plan(input)).toEqual({
        ok: true,
        total: 3,
        // Three prompts of three bytes.
        promptTokens: 3,
        models: ["m"],
        shards: [{ model: "m", requestedModel: "m", firstEntry: 0, entryCount: 3 }],
      });
      const at = (start: number, length: number) => input.toString("utf8", start, start + length);
      const found = (await entriesOfPlan()).map((entry) => [
        entry.lineNumber,
        at(entry.lineStart, entry.lineLength).trim(),
        at(entry.lineStart + entry.bodyStart, entry.bodyLength),
        at(entry.lineStart + entry.customIdStart, entry.customIdLength),
      ]);
      expect(found).toEqual([
        [1, line("é1", "a"), '{"model":"m","input":"a"}', '"é1"'],
        [3, line("é2", "b"), '{"model":"m","input":"b"}', '"é2"'],
        [4, line("é3", "c"), '{"model":"m","input":"c"}', '"é3"'],
      ]);
    });

    test("holds more lines than are kept in one piece, in the order of sending", async () => {
      const count = 20_000;
      const lines = Array.from({ length: count }, (_, n) => line(`${n}`, `prompt ${n % 10_000}`));
      expect(await plan(lines.join("\n"))).toMatchObject({ ok: true, total: count });
      const order = (await entriesOfPlan()).map(({ lineNumber }) => lineNumber - 1);
      expect(order).toEqual(
        Array.from({ length: count }, (_, at) => Math.floor(at / 2) + (at % 2) * 10_000),
      );
    });

    test("estimates the prompts' tokens by their bytes, for each line rounded up", async () => {
      const texts = ["", "12345", "é".repeat(7)];
      const lines = texts.map((text, n) => line(`${n}`, text));
      // With quotes 2, 7 and 16 bytes.
      expect(await plan(lines.join("\n"))).toMatchObject({ promptTokens: 1 + 2 + 4 });
    });

    test("compares prompts in the order in which a backend reads them", async () => {
      const request = (id: string, input: string, instructions: string) =>
        JSON.stringify({
          custom_id: id,
          method: "POST",
          url: "/v1/responses",
          body: { model: "m", input, instructions },
        });
      const [one, two] = ["a".repeat(200), "b".repeat(200)];
      const lines = [one, two, one, two].map((instructions, n) =>
        request(`${n}`, `${n}`.repeat(200), instructions),
      );
      await plan(lines.join("\n"), { endpoint: "/v1/responses" });
      expect((await entriesOfPlan()).map(({ lineNumber }) => lineNumber)).toEqual([1, 3, 2, 4]);
    });

    test("is cut into shards of one model each, and of no more lines than told", async () => {
      const models = ["a", "b", "a", "a", "c", "a", "b", "a"];
      const lines = models.map((model, n) => line(`${n}`, `${n}`, model));
      const result = await plan(lines.join("\n"), {
        allowSeveralModels: true,
        shardLines: 2,
        resolve: (model) => `real-${model}`,
      });
      const shard = (model: string, firstEntry: number, entryCount: number) => {
        return { model: `real-${model}`, requestedModel: model, firstEntry, entryCount };
      };
      expect(result).toEqual({
        ok: true,
        total: 8,
        promptTokens: 8,
        models: ["a", "b", "c"],
        shards: [
          shard("a", 0, 2),
          shard("a", 2, 2),
          shard("a", 4, 1),
          shard("b", 5, 2),
          shard("c", 7, 1),
        ],
      });
      expect((await entriesOfPlan()).map(({ lineNumber }) => models[lineNumber - 1])).toEqual(
        models.toSorted(),
      );
    });

    test.each([
      ["a small file into shards of 1,000 lines", 3_500, 4_000, [1_000, 1_000, 1_000, 500]],
      ["a large file into sixteen", 32_000, 4_000, Array.from({ length: 16 }, () => 2_000)],
      ["no shard into more lines than told", 3_000, 750, [750, 750, 750, 750]],
    ])("cuts %s", async (_case, count, shardLines, sizes) => {
      const lines = Array.from({ length: count }, (_, n) => line(`${n}`, `${n}`));
      const result = await plan(lines.join("\n"), { shardLines });
      const shards = result.ok ? result.shards : [];
      expect(shards.map(({ entryCount }) => entryCount)).toEqual(sizes);
    });
  });

  describe("a refused input", () => {
    test("has its errors and no plan", async () => {
      const result = await plan(`${line("a", "x")}\n{\n`);
      expect(result).toEqual({
        ok: false,
        errors: [expect.objectContaining({ code: "invalid_json_line", line: 2 })],
      });
      expect(await hasPlan()).toBe(false);
    });

    test.each(["", "\n\r\n \n", "\uFEFF"])("%j is empty", async (input) => {
      expect(await plan(input)).toEqual({
        ok: false,
        errors: [expect.objectContaining({ code: "empty_file", line: null })],
      });
    });

    test("repeated custom_ids are found by what they mean, wherever they stand", async () => {
      const lines = Array.from({ length: 10_000 }, (_, n) => line(`id-${n}`, `${n}`));
      lines[9_999] = line("id-0", "x");
      lines[5_000] = line("id-4999", "x").replace("id-4999", "\\u0069d-4999");
      const result = await plan(lines.join("\n"));
      expect(result).toEqual({
        ok: false,
        errors: [
          expect.objectContaining({ code: "duplicate_custom_id", line: 5_001 }),
          expect.objectContaining({ code: "duplicate_custom_id", line: 10_000 }),
        ],
      });
    });

    test("a line longer than allowed is one of the errors", async () => {
      const lines = [line("a", "x"), line("b", "y".repeat(500)), line("c", "z")];
      expect(await plan(lines.join("\n"), { limits: { lineSizeBytes: 200 } })).toEqual({
        ok: false,
        errors: [expect.objectContaining({ code: "request_too_large", line: 2 })],
      });
    });
  });

  test("giving up leaves no plan", async () => {
    const stop = new Error("stop");
    for (const after of [0, 1, 2]) {
      let asked = 0;
      const checkpoint = () => {
        if (asked++ === after) throw stop;
      };
      await expect(plan(line("a", "x"), { checkpoint })).rejects.toBe(stop);
      expect(await hasPlan()).toBe(false);
    }
  });
});

test("different custom_ids with equal hashes are no repetition", async () => {
  vi.spyOn(Math, "imul").mockReturnValue(0);
  expect(await plan(["a", "b", "c"].map((id) => line(id, id)).join("\n"))).toMatchObject({
    ok: true,
    total: 3,
  });
  expect(await plan(["a", "b", "a"].map((id) => line(id, id)).join("\n"))).toMatchObject({
    ok: false,
    errors: [{ code: "duplicate_custom_id", line: 3 }],
  });
});

test("an input with too many errors is read no further than it is ahead of the pass", async () => {
  const input = `${"{\n".repeat(5)}${`${line("a", "x".repeat(900_000))}\n`.repeat(20)}`;
  const checkpoint = vi.fn<() => void>();
  const result = await plan(input, { limits: { validationErrors: 3 }, checkpoint });
  expect(result).toMatchObject({
    errors: [{ line: 1 }, { line: 2 }, { line: 3 }, { line: null }],
  });
  expect(checkpoint.mock.calls.length).toBeLessThan(10);
});
