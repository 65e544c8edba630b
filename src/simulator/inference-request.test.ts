import { describe, expect, it } from "vitest";
import { readInferenceRequest, servedModel } from "./inference-request.ts";

const model = "m";

function read(path: string, body: unknown) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return readInferenceRequest(`/v1/${path}`, Buffer.from(text));
}

describe("readInferenceRequest", () => {
  it("takes all text of a chat as the prompt and answers its last message", () => {
    const image = { type: "image_url", image_url: { url: "data:," } };
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "What is this?" }, image] },
    ];
    expect(read("chat/completions", { model, messages, max_tokens: 5, n: 2 })).toMatchObject({
      kind: "chat",
      prompt: "Be brief.\nWhat is this?\n[image_url]",
      questions: ["What is this?\n[image_url]", "What is this?\n[image_url]"],
      maxTokens: 5,
      stream: false,
    });
  });

  it("takes the newer token limit of a chat before the older one", () => {
    const messages = [{ role: "user", content: "Hi" }];
    const body = { model, messages, max_tokens: 5, max_completion_tokens: 7 };
    expect(read("chat/completions", body)).toMatchObject({ maxTokens: 7 });
  });

  it("reads responses with instructions, as text or as items", () => {
    const body = { model, instructions: "Be brief.", input: "Hi", max_output_tokens: 4 };
    const expected = { prompt: "Be brief.\nHi", questions: ["Hi"], maxTokens: 4 };
    expect(read("responses", body)).toMatchObject(expected);
    const input = [{ role: "user", content: [{ type: "input_text", text: "Hi" }] }];
    expect(read("responses", { ...body, input })).toMatchObject(expected);
  });

  it.each([
    ["Hi", ["Hi"]],
    [
      ["a", "b"],
      ["a", "b"],
    ],
    [[1, 2], ["1 2"]],
    [
      [[1, 2], [3]],
      ["1 2", "3"],
    ],
  ])("reads the input %j of embeddings and the prompt of completions", (input, inputs) => {
    expect(read("embeddings", { model, input })).toMatchObject({ inputs, dimensions: 64 });
    expect(read("completions", { model, prompt: input })).toMatchObject({ questions: inputs });
  });

  it("reads moderations of texts, each by itself, and of parts, all together", () => {
    expect(read("moderations", { input: ["a", "b"] })).toMatchObject({ inputs: ["a", "b"] });
    const image = { type: "image_url", image_url: { url: "https://example.com/a.png" } };
    const parts = [{ type: "text", text: "a" }, image];
    expect(read("moderations", { input: parts })).toMatchObject({ inputs: ["a\n[image_url]"] });
  });

  const messages = [{ role: "user", content: "Hi" }];
  it.each([
    ["chat/completions", "{no json", null],
    ["chat/completions", "[]", null],
    ["chat/completions", "null", null],
    ["chat/completions", { model }, "messages"],
    ["chat/completions", { model, messages: [] }, "messages"],
    ["chat/completions", { model, messages, max_tokens: 0 }, "max_tokens"],
    ["chat/completions", { model, messages, max_completion_tokens: "9" }, "max_completion_tokens"],
    ["chat/completions", { model, messages, n: 1_000_000 }, "n"],
    ["chat/completions", { model: 5, messages }, "model"],
    ["completions", { model }, "prompt"],
    ["responses", { model, input: [] }, "input"],
    ["embeddings", { model, input: "" }, "input"],
    ["embeddings", { model, input: [] }, "input"],
    ["embeddings", { model, input: ["a", ""] }, "input"],
    ["embeddings", { model, input: [[]] }, "input"],
    ["embeddings", { model, input: Array(2_049).fill("a") }, "input"],
    ["embeddings", { model, input: "a", dimensions: 0 }, "dimensions"],
    ["embeddings", { model, input: "a", encoding_format: "hex" }, "encoding_format"],
    ["moderations", {}, "input"],
    ["images/generations", { model }, "prompt"],
    ["images/generations", { prompt: "a", n: 11 }, "n"],
    ["images/generations", { prompt: "a", n: "2" }, "n"],
    ["images/generations", { prompt: "a", stream: true }, "stream"],
    ["images/generations", { prompt: "a", response_format: "url" }, "response_format"],
    ["videos", {}, "prompt"],
    ["videos", { prompt: "a", seconds: 4 }, "seconds"],
    ["videos", { prompt: "a", size: 4 }, "size"],
    ["rerank", { model, documents: ["a"] }, "query"],
    ["rerank", { model, query: "a", documents: [] }, "documents"],
    ["rerank", { model, query: "a", documents: ["a", 5] }, "documents[1]"],
    ["rerank", { model, query: "a", documents: ["a"], top_n: -1 }, "top_n"],
    ["score", { model, text_1: "a" }, "text_2"],
    ["score", { model, text_1: 5, text_2: "a" }, "text_1"],
    ["score", { model, text_1: ["a", "b"], text_2: ["a"] }, "text_1"],
  ])("refuses %s %j with 400, naming the member %s", (path, body, param) => {
    expect(read(path, body)).toMatchObject({ status: 400, param });
  });
});

describe("servedModel", () => {
  const of = (body: object, path = "embeddings") => {
    const request = read(path, body);
    if ("status" in request) throw new Error(request.message);
    return servedModel(request, ["m", "n"]);
  };

  it("is the model asked for, or the first one where a model may be left out", () => {
    expect(of({ model: "n", input: "a" })).toBe("n");
    expect(of({ input: "a" }, "moderations")).toBe("m");
    expect(of({ prompt: "a" }, "images/generations")).toBe("m");
    expect(of({ prompt: "a" }, "videos")).toBe("m");
    expect(of({ input: "a" })).toMatchObject({ status: 400, param: "model" });
  });

  it("is a 404 that names what is served", () => {
    expect(of({ model: "x", input: "a" })).toMatchObject({
      status: 404,
      code: "model_not_found",
      message: "The model 'x' is not served by this simulator, which serves 'm', 'n'.",
    });
  });
});
