// The server over HTTP with the real model: both encodings, the official SDK, and every refusal.

import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EmbeddingServer } from "./embedding-server.ts";

const model = "universal-sentence-encoder-lite";

interface EmbeddingsAnswer<Vector> {
  object: string;
  data: { object: string; index: number; embedding: Vector }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

function post(baseUrl: string, body: string): Promise<Response> {
  return fetch(`${baseUrl}/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
}

describe("EmbeddingServer", () => {
  let server: EmbeddingServer;
  beforeAll(async () => {
    server = await EmbeddingServer.start();
  });
  afterAll(() => server.stop());

  async function embed<Vector>(body: object): Promise<EmbeddingsAnswer<Vector>> {
    const response = await post(server.baseUrl, JSON.stringify({ model, ...body }));
    expect(response.status).toBe(200);
    return (await response.json()) as EmbeddingsAnswer<Vector>;
  }

  it("lists its model", async () => {
    const response = await fetch(`${server.baseUrl}/models`);
    expect(await response.json()).toMatchObject({
      object: "list",
      data: [{ id: model, object: "model" }],
    });
  });

  it("answers with floats in the order of the input, and counts tokens", async () => {
    const input = ["Where is my parcel?", "refund"];
    const answer = await embed<number[]>({ input });

    expect(answer).toMatchObject({ object: "list", model });
    expect(answer.data.map((item) => item.index)).toEqual([0, 1]);
    for (const { object, embedding } of answer.data) {
      expect(object).toBe("embedding");
      expect(embedding).toHaveLength(512);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 4);
    }
    const [alone] = (await embed<number[]>({ input: input[1]! })).data;
    expect(alone!.embedding[0]).toBeCloseTo(answer.data[1]!.embedding[0]!, 5);
    expect(answer.usage.prompt_tokens).toBeGreaterThan(4);
    expect(answer.usage.total_tokens).toBe(answer.usage.prompt_tokens);
  });

  it("answers with the same numbers as base64 of little-endian floats", async () => {
    const input = "My invoice is wrong.";
    const floats = await embed<number[]>({ input, encoding_format: "float" });
    const encoded = await embed<string>({ input, encoding_format: "base64" });

    const bytes = Buffer.from(encoded.data[0]!.embedding, "base64");
    expect(bytes).toHaveLength(512 * 4);
    const decoded = floats.data[0]!.embedding.map((_, i) => bytes.readFloatLE(i * 4));
    expect(decoded).toEqual(floats.data[0]!.embedding);
  });

  it("serves the official SDK, which asks for base64 by itself", async () => {
    const client = new OpenAI({ baseURL: server.baseUrl, apiKey: "any", maxRetries: 0 });
    const { data } = await client.embeddings.create({ model, input: "My invoice is wrong." });
    const expected = await embed<number[]>({ input: "My invoice is wrong." });
    expect(data[0]!.embedding).toEqual(expected.data[0]!.embedding);
  });

  it("merges concurrent requests into batches", async () => {
    const before = server.counters;
    const inputs = Array.from({ length: 48 }, (_, i) => `late order ${i + 10}`);
    await Promise.all(inputs.map((input) => embed({ input })));

    expect(server.counters.texts - before.texts).toBe(48);
    expect(server.counters.batches - before.batches).toBeLessThan(24);
  });

  const refusals: [string, unknown, number, string | null, string][] = [
    ["an empty string", { model, input: "" }, 400, "input", "empty string"],
    ["an empty element", { model, input: ["a", ""] }, 400, "input[1]", "empty string"],
    ["no texts", { model, input: [] }, 400, "input", "got 0"],
    ["a token array", { model, input: [1, 2] }, 400, "input[0]", "token arrays"],
    ["token arrays", { model, input: [[1], [2]] }, 400, "input[0]", "token arrays"],
    ["an element of another type", { model, input: ["a", null] }, 400, "input[1]", "got null"],
    ["no input", { model }, 400, "input", "got nothing"],
    ["too many texts", { model, input: Array(513).fill("a") }, 400, "input", "got 513"],
    ["a long text", { model, input: "a".repeat(2001) }, 400, "input", "got 2001"],
    [
      "an unknown format",
      { model, input: "a", encoding_format: "hex" },
      400,
      "encoding_format",
      '"hex"',
    ],
    ["other dimensions", { model, input: "a", dimensions: 256 }, 400, "dimensions", "512"],
    ["no model", { input: "a" }, 400, "model", "got nothing"],
    ["an unknown model", { model: "gpt-4o", input: "a" }, 404, "model", "'gpt-4o' does not exist"],
    ["an array as the body", [], 400, null, "got an array"],
  ];
  it.each(refusals)("refuses %s", async (_name, body, status, param, message) => {
    const response = await post(server.baseUrl, JSON.stringify(body));
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining(message) as string,
        type: "invalid_request_error",
        param,
        code: status === 404 ? "model_not_found" : null,
      },
    });
  });

  const unreadable: [string, string, number][] = [
    ["a body that is not JSON", '{"model":', 400],
    ["an empty body", "", 400],
    ["a body over 1 MiB", JSON.stringify({ model, input: "a".repeat(1024 * 1024) }), 413],
  ];
  it.each(unreadable)("refuses %s", async (_name, body, status) => {
    const response = await post(server.baseUrl, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { type: "invalid_request_error", param: null, code: null },
    });
  });

  it("answers 404 for another route", async () => {
    const response = await fetch(`${server.baseUrl}/chat/completions`, { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: "unknown_url" } });
  });

  it("answers 429 with Retry-After when its queue is full, and 503 to what waits when it stops", async () => {
    const busy = await EmbeddingServer.start();
    const { baseUrl } = busy;
    const body = JSON.stringify({ model, input: Array(512).fill("hello") });
    const responses = Array.from({ length: 3 }, () => post(baseUrl, body));

    const first = await Promise.race(responses);
    expect(first.status).toBe(429);
    expect(first.headers.get("retry-after")).toBe("1");
    expect(await first.json()).toMatchObject({ error: { code: "rate_limit_exceeded" } });

    await busy.stop();
    const statuses = (await Promise.all(responses)).map((response) => response.status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([429, 503, 503]);
    await expect(post(baseUrl, body)).rejects.toThrow("fetch failed");
  });
});
