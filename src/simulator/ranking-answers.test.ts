import { describe, expect, it } from "vitest";
import { rerankAnswer, scoreAnswer } from "./ranking-answers.ts";
import { readRerank, readScore } from "./ranking-request.ts";
import { isRefusal } from "./refusal.ts";

const context = { model: "m", serial: 7, outputTokens: 1, imageBytes: 100 };

interface Reranked {
  results: { index: number; relevance_score: number; document: { text: string } }[];
}

function rerank(body: object) {
  const request = readRerank({ model: "m", ...body });
  if (isRefusal(request)) throw new Error(request.message);
  return rerankAnswer(request, context) as Reranked;
}

function scores(text_1: unknown, text_2: unknown): number[] {
  const request = readScore({ model: "m", text_1, text_2 });
  if (isRefusal(request)) throw new Error(request.message);
  const answer = scoreAnswer(request, context) as { data: { index: number; score: number }[] };
  expect(answer.data.map(({ index }) => index)).toEqual(answer.data.map((_, index) => index));
  return answer.data.map(({ score }) => score);
}

describe("rerank", () => {
  it("puts the best document first and keeps the place it had", () => {
    const answer = rerank({ query: "cats", documents: ["dogs", { text: "cats" }, "birds"] });
    expect(answer).toMatchObject({ id: "rerank-sim7", model: "m", usage: { total_tokens: 5 } });
    expect(answer.results[0]).toEqual({
      index: 1,
      relevance_score: 1,
      document: { text: "cats" },
    });
    const given = answer.results.map((result) => result.relevance_score);
    expect(given).toEqual(given.toSorted((one, other) => other - one));
    expect(Math.min(...given)).toBeGreaterThanOrEqual(0);
  });

  it.each([
    [1, 1],
    [2, 2],
    [9, 3],
    [0, 3],
  ])("with top_n %i gives %i of three documents", (top_n, count) => {
    const documents = ["a", "b", "c"];
    expect(rerank({ query: "cats", documents, top_n }).results).toHaveLength(count);
  });
});

describe("score", () => {
  it("compares one text with each of the others, or lists in pairs", () => {
    expect(scores("a", "a")).toEqual([1]);
    const [same, other] = scores("a", ["a", "b"]);
    expect(same).toBe(1);
    expect(other).toBeLessThan(1);
    expect(scores(["a", "b"], ["b", "b"])).toEqual([other, 1]);
  });

  it("has vLLM's shape", () => {
    const request = readScore({ text_1: "a", text_2: "b" });
    expect(isRefusal(request) || scoreAnswer(request, context)).toMatchObject({
      id: "score-sim7",
      object: "list",
      model: "m",
      data: [{ index: 0, object: "score", score: expect.any(Number) }],
      usage: { prompt_tokens: 1, total_tokens: 1 },
    });
  });
});
