// Token usage: read from every answer shape of the endpoints, summed over a batch.

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
}

export function noUsage(): Usage {
  return { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedTokens: 0, reasoningTokens: 0 };
}

export function addUsage(sum: Usage, more: Usage): void {
  sum.inputTokens += more.inputTokens;
  sum.outputTokens += more.outputTokens;
  sum.totalTokens += more.totalTokens;
  sum.cachedTokens += more.cachedTokens;
  sum.reasoningTokens += more.reasoningTokens;
}

const MAX_TOKENS = 0xffff_ffff;

function tokens(value: unknown): number | undefined {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS
    ? (value as number)
    : undefined;
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/**
 * Usage of one answer body: `input_tokens`/`output_tokens` (responses, images, transcriptions),
 * `prompt_tokens`/`completion_tokens` (chat, completions, embeddings, score), or a total alone, which is all
 * input (rerank). What is missing or is not a whole number counts as zero, and so does what is not
 * measured in tokens (seconds of sound); a missing total is the sum.
 */
export function readUsage(body: unknown): Usage {
  const usage = member(body, "usage");
  if (typeof usage !== "object" || usage === null) return noUsage();
  const total = tokens(member(usage, "total_tokens"));
  const output =
    tokens(member(usage, "output_tokens")) ?? tokens(member(usage, "completion_tokens"));
  const input =
    tokens(member(usage, "input_tokens")) ??
    tokens(member(usage, "prompt_tokens")) ??
    (output === undefined ? total : undefined);
  const sum = (input ?? 0) + (output ?? 0);
  const inputDetails =
    member(usage, "input_tokens_details") ?? member(usage, "prompt_tokens_details");
  const outputDetails =
    member(usage, "output_tokens_details") ?? member(usage, "completion_tokens_details");
  return {
    inputTokens: input ?? 0,
    outputTokens: output ?? 0,
    totalTokens: total ?? Math.min(sum, MAX_TOKENS),
    cachedTokens: tokens(member(inputDetails, "cached_tokens")) ?? 0,
    reasoningTokens: tokens(member(outputDetails, "reasoning_tokens")) ?? 0,
  };
}
