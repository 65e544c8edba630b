import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "./simulator.ts";

const model = "simulated-model";
const messages = [{ role: "user" as const, content: "Where is my parcel?" }];
const simulator = new Simulator({ outputTokens: 9 });
let client: OpenAI;

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  client = new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0 });
});
afterAll(() => simulator.stop());

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("the official SDK reads", () => {
  it("chat completions", async () => {
    const { data, response } = await client.chat.completions
      .create({ model, messages })
      .withResponse();
    expect(response.headers.get("x-offpeak-simulator")).toBe("true");
    expect(data).toMatchObject({
      object: "chat.completion",
      model,
      system_fingerprint: "offpeak-simulator",
      usage: { prompt_tokens: 5, completion_tokens: 9, total_tokens: 14 },
    });
    expect(data.choices).toHaveLength(1);
    expect(data.choices[0]).toMatchObject({
      finish_reason: "stop",
      message: { content: "Simulated answer to Where is my parcel? lorem lorem" },
    });
  });

  it("chat completions cut short by their own limit, in several choices", async () => {
    const answer = await client.chat.completions.create({
      model,
      messages,
      max_completion_tokens: 3,
      n: 2,
    });
    const choices = answer.choices.map((one) => [one.message.content, one.finish_reason]);
    expect(choices).toEqual([
      ["Simulated answer to", "length"],
      ["Simulated answer to", "length"],
    ]);
    expect(answer.usage?.completion_tokens).toBe(6);
  });

  it("streamed chat completions", async () => {
    const stream = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collected(stream);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toBe("Simulated answer to Where is my parcel? lorem lorem");
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(9);
  });

  it("completions, one choice for each prompt, streamed or not", async () => {
    const body = { model, prompt: ["First?", "Second?"], max_tokens: 4 };
    const answer = await client.completions.create(body);
    const texts = ["Simulated answer to First?", "Simulated answer to Second?"];
    expect(answer.choices.map((choice) => choice.text)).toEqual(texts);
    const chunks = await collected(await client.completions.create({ ...body, stream: true }));
    const streamed = ["", ""];
    for (const { choices } of chunks) {
      for (const { index, text } of choices) streamed[index] += text;
    }
    expect(streamed).toEqual(texts);
  });

  it("responses", async () => {
    const answer = await client.responses.create({ model, input: "Where is my parcel?" });
    expect(answer.output_text).toBe("Simulated answer to Where is my parcel? lorem lorem");
    expect(answer.status).toBe("completed");
    expect(answer.usage).toMatchObject({ input_tokens: 5, output_tokens: 9, total_tokens: 14 });
    const short = await client.responses.create({ model, input: "Hi", max_output_tokens: 2 });
    expect(short).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
    });
  });

  it("streamed responses", async () => {
    const stream = client.responses.stream({ model, input: "Where is my parcel?" });
    const answer = await stream.finalResponse();
    expect(answer.output_text).toBe("Simulated answer to Where is my parcel? lorem lorem");
  });

  it("embeddings, which are the same in both encodings and for the same text", async () => {
    const create = (encoding_format?: "float" | "base64") =>
      client.embeddings.create({
        model,
        input: ["a", "b", "a"],
        dimensions: 8,
        ...(encoding_format && { encoding_format }),
      });
    const floats = await create("float");
    const [a, b, again] = floats.data.map((one) => one.embedding);
    expect(a).toHaveLength(8);
    expect(again).toEqual(a);
    expect(b).not.toEqual(a);
    expect(floats.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
    // Without a choice the SDK asks for base64 and decodes it.
    const decoded = (await create()).data[0]!.embedding;
    decoded.forEach((value, index) => expect(value).toBeCloseTo(a![index]!, 6));
    const base64 = (await create("base64")).data[0]!.embedding as unknown as string;
    expect(Buffer.from(base64, "base64")).toHaveLength(8 * 4);
  });

  it("moderations", async () => {
    const answer = await client.moderations.create({ input: ["a", "b"] });
    expect(answer.model).toBe(model);
    expect(answer.results.map((result) => result.flagged)).toEqual([false, false]);
    const url = "https://example.com/a.png";
    const parts = await client.moderations.create({
      input: [
        { type: "text", text: "a" },
        { type: "image_url", image_url: { url } },
      ],
    });
    expect(parts.results).toHaveLength(1);
  });

  it("reranked documents and scores, which it has no methods for", async () => {
    const ranking = { model, query: "cats", documents: ["dogs", "cats"], top_n: 1 };
    expect(await client.post("/rerank", { body: ranking })).toMatchObject({
      model,
      results: [{ index: 1, relevance_score: 1, document: { text: "cats" } }],
    });
    const comparison = { model, text_1: "cats", text_2: ["dogs", "cats"] };
    expect(await client.post("/score", { body: comparison })).toMatchObject({
      object: "list",
      data: [{ index: 0 }, { index: 1, score: 1 }],
    });
  });

  it("models", async () => {
    const models = await collected(client.models.list());
    expect(models.map((one) => one.id)).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: "model" });
    await expect(client.models.retrieve("other")).rejects.toMatchObject({ status: 404 });
  });

  it("errors in their envelope", async () => {
    await expect(
      client.chat.completions.create({ model: "other", messages }),
    ).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
      type: "invalid_request_error",
      param: "model",
    });
    await expect(client.embeddings.create({ model, input: "" })).rejects.toMatchObject({
      status: 400,
      param: "input",
    });
  });
});
