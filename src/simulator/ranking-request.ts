// Reads requests that compare texts: /v1/rerank and /v1/score, in the shapes of vLLM.
import { type Json, isObject, isWhole, wrong } from "./members.ts";
import { type Refusal, isRefusal } from "./refusal.ts";

export interface RerankRequest {
  kind: "rerank";
  model: string | undefined;
  prompt: string;
  query: string;
  documents: string[];
  /** How many of the best are wanted. */
  topN: number;
}

export interface ScoreRequest {
  kind: "score";
  model: string | undefined;
  prompt: string;
  /** One score is due for each. */
  pairs: [string, string][];
}

const MAX_TEXTS = 2_048;

export function readRerank(body: Json): RerankRequest | Refusal {
  const query = body["query"];
  if (typeof query !== "string" || query === "") {
    return wrong("query", "a text that is not empty", query);
  }
  const documents = readTexts("documents", body["documents"]);
  if (isRefusal(documents)) return documents;
  const topN = body["top_n"] ?? 0;
  if (!isWhole(topN, 0)) return wrong("top_n", "a whole number of at least 0", topN);
  const model = body["model"] as string | undefined;
  const prompt = [query, ...documents].join("\n");
  // As at vLLM, 0 asks for all of them.
  return { kind: "rerank", model, prompt, query, documents, topN: topN || documents.length };
}

/** One text is compared with each of the other side; lists of the same length are compared in pairs. */
export function readScore(body: Json): ScoreRequest | Refusal {
  const [first, second] = [sideOf(body, "text_1"), sideOf(body, "text_2")];
  if (isRefusal(first)) return first;
  if (isRefusal(second)) return second;
  if (first.length !== 1 && first.length !== second.length) {
    const expected = `one text, or as many as 'text_2' has (${second.length})`;
    return wrong("text_1", expected, `${first.length} of them`);
  }
  const pairs = second.map((text, index): [string, string] => [first[index] ?? first[0]!, text]);
  const model = body["model"] as string | undefined;
  return { kind: "score", model, prompt: [...first, ...second].join("\n"), pairs };
}

function sideOf(body: Json, member: "text_1" | "text_2"): string[] | Refusal {
  const side = body[member];
  return readTexts(member, typeof side === "string" ? [side] : side);
}

/** A list of texts, each as it is or in an object with the member `text`. */
function readTexts(param: string, list: unknown): string[] | Refusal {
  const expected = `1 to ${MAX_TEXTS} texts, or objects with a "text"`;
  if (!Array.isArray(list) || list.length === 0) return wrong(param, expected, list);
  if (list.length > MAX_TEXTS) return wrong(param, expected, `${list.length} of them`);
  const texts = list.map((one: unknown) => (isObject(one) ? one["text"] : one));
  const unfit = texts.findIndex((text) => typeof text !== "string");
  if (unfit !== -1)
    return wrong(`${param}[${unfit}]`, `a text, or an object with a "text"`, list[unfit]);
  return texts as string[];
}
