import { expect, test } from "vitest";
import { addUsage, noUsage, readUsage, type Usage } from "./usage.ts";

const cases: [what: string, usage: unknown, read: Partial<Usage>][] = [
  [
    "chat",
    {
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 3 },
    },
    { inputTokens: 10, outputTokens: 5, totalTokens: 15, cachedTokens: 4, reasoningTokens: 3 },
  ],
  [
    "responses",
    {
      input_tokens: 7,
      input_tokens_details: { cached_tokens: 2 },
      output_tokens: 8,
      output_tokens_details: { reasoning_tokens: 1 },
      total_tokens: 15,
    },
    { inputTokens: 7, outputTokens: 8, totalTokens: 15, cachedTokens: 2, reasoningTokens: 1 },
  ],
  ["embeddings", { prompt_tokens: 6, total_tokens: 6 }, { inputTokens: 6, totalTokens: 6 }],
  [
    "images, and transcriptions by tokens",
    {
      type: "tokens",
      input_tokens: 14,
      input_token_details: { text_tokens: 4, audio_tokens: 10 },
      input_tokens_details: { text_tokens: 4, image_tokens: 10 },
      output_tokens: 45,
      total_tokens: 59,
    },
    { inputTokens: 14, outputTokens: 45, totalTokens: 59 },
  ],
  ["transcriptions by time", { type: "duration", seconds: 12.5 }, {}],
  ["rerank", { total_tokens: 9 }, { inputTokens: 9, totalTokens: 9 }],
  [
    "score",
    { prompt_tokens: 9, total_tokens: 9, completion_tokens: 0, prompt_tokens_details: null },
    { inputTokens: 9, totalTokens: 9 },
  ],
  [
    "a total, and only output",
    { completion_tokens: 4, total_tokens: 9 },
    { outputTokens: 4, totalTokens: 9 },
  ],
  [
    "no total",
    { prompt_tokens: 1, completion_tokens: 2 },
    { inputTokens: 1, outputTokens: 2, totalTokens: 3 },
  ],
  [
    "null details",
    { prompt_tokens: 1, prompt_tokens_details: null },
    { inputTokens: 1, totalTokens: 1 },
  ],
  ["nothing in it", {}, {}],
  ["null", null, {}],
  ["a number", 5, {}],
  [
    "figures that are none",
    {
      prompt_tokens: "5",
      completion_tokens: -1,
      total_tokens: 1.5,
      prompt_tokens_details: { cached_tokens: Number.NaN },
    },
    {},
  ],
  [
    "the largest figures that fit",
    { prompt_tokens: 2 ** 32 - 1, completion_tokens: 2 ** 32 - 1 },
    { inputTokens: 2 ** 32 - 1, outputTokens: 2 ** 32 - 1, totalTokens: 2 ** 32 - 1 },
  ],
  [
    "a figure beyond them",
    { prompt_tokens: 2 ** 32, completion_tokens: 1 },
    { outputTokens: 1, totalTokens: 1 },
  ],
];

test.each(cases)("usage of %s", (_what, usage, read) => {
  expect(readUsage({ usage })).toEqual({ ...noUsage(), ...read });
});

test.each([null, 17, "text", [], {}])("%j has no usage", (body) => {
  expect(readUsage(body)).toEqual(noUsage());
});

test("sums", () => {
  const sum = noUsage();
  const one = {
    inputTokens: 1,
    outputTokens: 2,
    totalTokens: 3,
    cachedTokens: 4,
    reasoningTokens: 5,
  };
  addUsage(sum, one);
  addUsage(sum, one);
  expect(sum).toEqual({
    inputTokens: 2,
    outputTokens: 4,
    totalTokens: 6,
    cachedTokens: 8,
    reasoningTokens: 10,
  });
  expect(noUsage().inputTokens).toBe(0);
});
