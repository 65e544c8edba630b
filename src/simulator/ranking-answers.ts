// Answers to /v1/rerank and /v1/score, in the shapes of vLLM. A score is 0 to 1 and depends on nothing but its
// two texts; it is 1 where they are equal.
import { type AnswerContext, FINGERPRINT, nowSeconds } from "./answer-context.ts";
import { promptTokens } from "./generated-text.ts";
import { pseudoVector } from "./pseudo-vector.ts";
import type { RerankRequest, ScoreRequest } from "./ranking-request.ts";

const DIMENSIONS = 16;

/** The best `topN` documents, best first. */
export function rerankAnswer(request: RerankRequest, { model, serial }: AnswerContext): object {
  const { query, documents, topN, prompt } = request;
  const results = documents.map((text, index) => ({
    index,
    document: { text },
    relevance_score: similarity(query, text),
  }));
  results.sort((one, other) => other.relevance_score - one.relevance_score);
  return {
    id: `rerank-sim${serial}`,
    model,
    system_fingerprint: FINGERPRINT,
    results: results.slice(0, topN),
    usage: { total_tokens: promptTokens(prompt) },
  };
}

/** One score for each pair, in the order of the request. */
export function scoreAnswer(request: ScoreRequest, { model, serial }: AnswerContext): object {
  const tokens = promptTokens(request.prompt);
  return {
    id: `score-sim${serial}`,
    object: "list",
    created: nowSeconds(),
    model,
    system_fingerprint: FINGERPRINT,
    data: request.pairs.map(([first, second], index) => ({
      index,
      object: "score",
      score: similarity(first, second),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0 },
  };
}

function similarity(first: string, second: string): number {
  if (first === second) return 1;
  const [one, other] = [pseudoVector(first, DIMENSIONS), pseudoVector(second, DIMENSIONS)];
  const cosine = one.reduce((sum, value, index) => sum + value * other[index]!, 0);
  return Math.round((1 + cosine) * 5e5) / 1e6;
}
