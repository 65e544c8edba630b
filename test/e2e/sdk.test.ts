// The official SDK against a real server and the simulator: everything a user of batches does, at every
// endpoint that is served.
import { writeFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";
import type { Batch } from "openai/resources/batches";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, CHAT, createBatch, upload } from "../support/batch-driver.ts";
import {
  chatLine,
  chatLines,
  type InputLine,
  SIMULATED_MODEL,
  writeInputFile,
} from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";

const OTHER_MODEL = "other-model";
const ALIAS = "gpt-4o-mini";

const place = openWorkplace();
const simulator = new Simulator({ models: [SIMULATED_MODEL, OTHER_MODEL], outputTokens: 5 });
let server: ServerProcess;
let openai: OpenAI;

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  server = await ServerProcess.start({
    folder: place.path("."),
    config: {},
    flags: ["--upstream", baseUrl, "--model-alias", `${ALIAS}=${SIMULATED_MODEL}`],
  });
  // As users have it, with its own retries.
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "any" });
});

afterAll(async () => {
  await server?.kill();
  await simulator.stop();
  place[Symbol.dispose]();
});

async function runBatch(
  lines: InputLine[],
  more: Parameters<typeof createBatch>[2] = {},
): Promise<Batch> {
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  const { id } = await createBatch(openai, await upload(openai, path), more);
  const batch = await batchEnd(openai, id, { pauseMs: 20 });
  if (batch.status === "completed") {
    const customIds = lines.map(({ customId }) => customId);
    expect((await judge(openai, batch, customIds)).problems).toEqual([]);
  }
  return batch;
}

/** The bodies of the answers in the output file, by custom_id. */
async function answers(batch: Batch): Promise<Map<string, Record<string, unknown>>> {
  const text = await (await openai.files.content(batch.output_file_id!)).text();
  const lines = text.trimEnd().split("\n");
  return new Map(
    lines.map((line) => {
      const { custom_id: customId, response } = JSON.parse(line) as {
        custom_id: string;
        response: { body: Record<string, unknown> };
      };
      return [customId, response.body];
    }),
  );
}

describe("a batch", () => {
  const model = SIMULATED_MODEL;
  it.each<{
    url: Batch["endpoint"];
    body: Record<string, unknown>;
    answer: object;
    tokens: boolean;
  }>([
    {
      url: CHAT,
      body: { model, messages: [{ role: "user", content: "Hello" }] },
      answer: { object: "chat.completion", model },
      tokens: true,
    },
    {
      url: "/v1/completions",
      body: { model, prompt: "Once upon a time" },
      answer: { object: "text_completion", model },
      tokens: true,
    },
    {
      url: "/v1/responses",
      body: { model, input: "Hello", instructions: "Be brief." },
      answer: { object: "response", model },
      tokens: true,
    },
    {
      url: "/v1/embeddings",
      body: { model, input: ["one", "two"], dimensions: 8, encoding_format: "base64" },
      answer: { object: "list", model, data: [{ index: 0 }, { index: 1 }] },
      tokens: true,
    },
    {
      url: "/v1/moderations",
      body: { input: "Nothing to see here" },
      answer: { model, results: [{}] },
      tokens: false,
    },
  ])("runs at $url", async ({ url, body, answer, tokens }) => {
    const lines = Array.from({ length: 12 }, (_, index): InputLine => {
      return { customId: `line-${index}`, url, body };
    });
    const batch = await runBatch(lines, { endpoint: url as typeof CHAT });
    expect(batch).toMatchObject({
      object: "batch",
      endpoint: url,
      model,
      status: "completed",
      errors: null,
      error_file_id: null,
      request_counts: { total: 12, completed: 12, failed: 0 },
    });
    for (const time of [batch.in_progress_at, batch.finalizing_at, batch.completed_at]) {
      expect(time).toBeGreaterThanOrEqual(batch.created_at);
    }
    expect((batch.usage?.input_tokens ?? 0) > 0).toBe(tokens);
    for (const got of (await answers(batch)).values()) expect(got).toMatchObject(answer);
  });

  it("passes vectors on as base64, byte for byte", async () => {
    const body = (encoding_format: string) => {
      return { model, input: "A vector, please", dimensions: 16, encoding_format };
    };
    const url = "/v1/embeddings";
    const batch = await runBatch(
      [
        { customId: "base64", url, body: body("base64") },
        { customId: "float", url, body: body("float") },
      ],
      { endpoint: url },
    );
    const got = await answers(batch);
    const vector = (customId: string) => {
      return (got.get(customId) as { data: [{ embedding: unknown }] }).data[0].embedding;
    };
    const bytes = Buffer.from(vector("base64") as string, "base64");
    const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const expected = vector("float") as number[];
    expect(floats).toHaveLength(16);
    expected.forEach((number, at) => expect(floats[at]).toBeCloseTo(number, 5));
  });

  it("carries its metadata, and its files expire as asked", async () => {
    const metadata = { team: "support", "a b": "ü" };
    const batch = await runBatch([chatLine({ customId: "a", prompt: "b" })], {
      metadata,
      output_expires_after: { anchor: "created_at", seconds: 3_600 },
    });
    expect(batch.metadata).toEqual(metadata);
    expect(batch.expires_at).toBe(batch.created_at + 86_400);
    const file = await openai.files.waitForProcessing(batch.output_file_id!);
    expect(file).toMatchObject({
      purpose: "batch_output",
      filename: `${batch.id}_output.jsonl`,
      expires_at: file.created_at + 3_600,
    });
  });

  it("takes a file from memory, and fails when its lines break the rules", async () => {
    const file = await toFile(
      Buffer.from('{"custom_id": "a"}\n{"no": "id"}\nno json\n'),
      "in.jsonl",
    );
    const { id: inputFileId } = await openai.files.create({ file, purpose: "batch" });
    const batch = await batchEnd(openai, (await createBatch(openai, inputFileId)).id);
    expect(batch).toMatchObject({ status: "failed", output_file_id: null, error_file_id: null });
    expect(batch.errors?.data).toMatchObject([
      { code: "missing_required_parameter", param: "method", line: 1 },
      { code: "missing_required_parameter", param: "custom_id", line: 2 },
      { code: "invalid_json_line", line: 3 },
    ]);
  });

  it("tells the lines that failed apart", async () => {
    const batch = await runBatch([
      chatLine({ customId: "good", prompt: "Good" }),
      chatLine({ customId: "bad", prompt: "Bad [simulate: 400]" }),
    ]);
    expect(batch.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
    const text = await (await openai.files.content(batch.error_file_id!)).text();
    expect(JSON.parse(text)).toMatchObject({
      custom_id: "bad",
      response: { status_code: 400, body: { error: { message: expect.any(String) } } },
      error: null,
    });
  });
});

describe("models", () => {
  it("may be named by an alias, which the upstream never sees", async () => {
    const ids = (await openai.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual([ALIAS, OTHER_MODEL, SIMULATED_MODEL]);
    const batch = await runBatch([chatLine({ customId: "a", prompt: "Alias", model: ALIAS })]);
    expect(batch).toMatchObject({ status: "completed", model: SIMULATED_MODEL });
    expect((await answers(batch)).get("a")).toMatchObject({ model: SIMULATED_MODEL });
  });

  it("must be served", async () => {
    const batch = await runBatch([chatLine({ customId: "a", prompt: "b", model: "gpt-99" })]);
    expect(batch.status).toBe("failed");
    expect(batch.errors?.data).toMatchObject([
      { code: "model_not_found", param: "body.model", line: 1 },
    ]);
  });

  it("must be the same in a whole file, unless the server allows several", async () => {
    const lines = chatLines(40, (index) => {
      const model = index % 2 === 0 ? SIMULATED_MODEL : OTHER_MODEL;
      return { customId: `line-${index}`, prompt: `Question ${index}`, model };
    });
    const refused = await runBatch(lines.slice(0, 2));
    expect(refused.status).toBe("failed");
    expect(refused.errors?.data).toMatchObject([{ code: "mismatched_model", line: 2 }]);

    using elsewhere = openWorkplace();
    await using generous = await ServerProcess.start({
      folder: elsewhere.path("."),
      config: { upstreams: [upstream(simulator.baseUrl)], allow_several_models: true },
    });
    const path = await writeInputFile(elsewhere.path("input.jsonl"), lines);
    const { id } = await createBatch(generous.openai, await upload(generous.openai, path));
    const batch = await batchEnd(generous.openai, id);
    const customIds = lines.map(({ customId }) => customId);
    const { problems, output } = await judge(generous.openai, batch, customIds);
    expect({ problems, output }).toEqual({ problems: [], output: 40 });
  });
});

describe("lists", () => {
  it("page by themselves, newest first", async () => {
    const created: string[] = [];
    const fileIds: string[] = [];
    for (let index = 0; index < 23; index++) {
      const path = place.path("input.jsonl");
      await writeFile(path, "{}\n");
      fileIds.unshift(await upload(openai, path));
      created.unshift((await createBatch(openai, fileIds[0]!)).id);
    }
    const batches: string[] = [];
    for await (const { id } of openai.batches.list({ limit: 5 })) batches.push(id);
    expect(batches.slice(0, created.length)).toEqual(created);
    expect(new Set(batches).size).toBe(batches.length);
    const files: string[] = [];
    for await (const { id } of openai.files.list({ limit: 7, purpose: "batch" })) files.push(id);
    expect(files.slice(0, fileIds.length)).toEqual(fileIds);

    const oldest = batches.at(-1)!;
    const page = await openai.batches.list({ after: oldest });
    expect({ data: page.data, more: page.has_more }).toEqual({ data: [], more: false });
  });
});

describe("lines that begin alike", () => {
  it("are sent one after the other, and come back in the order of the file", async () => {
    const groups = ["Summarise", "Translate", "Classify"].map((verb) => {
      return `${verb} the text that follows, and heed these rules. `.padEnd(400, `${verb}! `);
    });
    const lines = chatLines(90, (index) => {
      const prompt = `${groups[index % groups.length]}Text number ${index}`;
      return { customId: `line-${index}`, prompt };
    });
    using elsewhere = openWorkplace();
    await using calm = await ServerProcess.start({
      folder: elsewhere.path("."),
      config: { upstreams: [upstream(simulator.baseUrl, { limits: { concurrency: 1 } })] },
    });
    simulator.reset();
    const path = await writeInputFile(elsewhere.path("input.jsonl"), lines);
    const { id } = await createBatch(calm.openai, await upload(calm.openai, path));
    const batch = await batchEnd(calm.openai, id);
    const sent = [...simulator.prompts()].map(({ prompt }) => prompt.split(" ")[0]);
    const changes = sent.filter((verb, at) => verb !== sent[at - 1]);
    expect(changes).toEqual(["Summarise", "Translate", "Classify"]);
    const customIds = lines.map(({ customId }) => customId);
    expect((await judge(calm.openai, batch, customIds)).problems).toEqual([]);
  });
});
