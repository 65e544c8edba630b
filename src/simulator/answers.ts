// The bodies of successful answers, in the shapes of OpenAI's endpoints. Each one says that it is simulated.
import { type AnswerContext, FINGERPRINT, nowSeconds } from "./answer-context.ts";
import { generatedText, promptTokens } from "./generated-text.ts";
import type {
  EmbeddingRequest,
  GenerationRequest,
  InferenceRequest,
  ModerationRequest,
} from "./inference-request.ts";
import { imageAnswer, transcriptionAnswer } from "./media-answers.ts";
import type { VideoRequest } from "./media-request.ts";
import { pseudoVector } from "./pseudo-vector.ts";
import { rerankAnswer, scoreAnswer } from "./ranking-answers.ts";

/** A whole answer, ready for JSON.stringify. A video is no answer but a job: see video-jobs.ts. */
export function answerTo(
  request: Exclude<InferenceRequest, VideoRequest>,
  context: AnswerContext,
): object {
  switch (request.kind) {
    case "chat":
      return chatCompletion(request, context);
    case "completion":
      return textCompletion(request, context);
    case "response":
      return response(request, context);
    case "embedding":
      return embeddings(request, context);
    case "moderation":
      return moderation(request, context);
    case "image":
      return imageAnswer(request, context);
    case "transcription":
      return transcriptionAnswer(request, context);
    case "rerank":
      return rerankAnswer(request, context);
    case "score":
      return scoreAnswer(request, context);
  }
}

/** Tokens generated for each choice of the request. */
export function tokensPerChoice(request: GenerationRequest, outputTokens: number): number {
  return Math.min(outputTokens, request.maxTokens ?? outputTokens);
}

/** "length" where the request's own limit ended the text, else "stop". */
export function finishReason(request: GenerationRequest, outputTokens: number): "stop" | "length" {
  return tokensPerChoice(request, outputTokens) < outputTokens ? "length" : "stop";
}

/** The usage of a chat or completion. */
export function completionUsage(request: GenerationRequest, outputTokens: number): object {
  const prompt = promptTokens(request.prompt);
  const completion = tokensPerChoice(request, outputTokens) * request.questions.length;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
}

/** A response object of /v1/responses, complete or (for the first events of a stream) not yet begun. */
export function response(
  request: GenerationRequest,
  context: AnswerContext,
  state: "finished" | "in_progress" = "finished",
): object {
  const { model, serial, outputTokens } = context;
  const isFinished = state === "finished";
  const isCutShort = isFinished && finishReason(request, outputTokens) === "length";
  const input = promptTokens(request.prompt);
  const output = tokensPerChoice(request, outputTokens);
  const usage = {
    input_tokens: input,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
  return {
    id: `resp_sim${serial}`,
    object: "response",
    created_at: nowSeconds(),
    status: isCutShort ? "incomplete" : isFinished ? "completed" : "in_progress",
    error: null,
    incomplete_details: isCutShort ? { reason: "max_output_tokens" } : null,
    instructions: null,
    max_output_tokens: request.maxTokens ?? null,
    metadata: {},
    model,
    output: isFinished ? [responseMessage(request, context)] : [],
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    system_fingerprint: FINGERPRINT,
    temperature: 1,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    truncation: "disabled",
    usage: isFinished ? usage : null,
  };
}

/** The one output item of a finished response. */
export function responseMessage(request: GenerationRequest, context: AnswerContext): object {
  const tokens = tokensPerChoice(request, context.outputTokens);
  const text = generatedText(request.questions[0] ?? "", tokens);
  return {
    id: `msg_sim${context.serial}`,
    type: "message",
    status: "completed",
    role: "assistant",
    content: [{ type: "output_text", text, annotations: [] }],
  };
}

function chatCompletion(request: GenerationRequest, context: AnswerContext): object {
  const tokens = tokensPerChoice(request, context.outputTokens);
  const finish_reason = finishReason(request, context.outputTokens);
  return {
    id: `chatcmpl-sim${context.serial}`,
    object: "chat.completion",
    created: nowSeconds(),
    model: context.model,
    system_fingerprint: FINGERPRINT,
    choices: request.questions.map((question, index) => ({
      index,
      message: { role: "assistant", content: generatedText(question, tokens), refusal: null },
      logprobs: null,
      finish_reason,
    })),
    usage: completionUsage(request, context.outputTokens),
  };
}

function textCompletion(request: GenerationRequest, context: AnswerContext): object {
  const tokens = tokensPerChoice(request, context.outputTokens);
  const finish_reason = finishReason(request, context.outputTokens);
  return {
    id: `cmpl-sim${context.serial}`,
    object: "text_completion",
    created: nowSeconds(),
    model: context.model,
    system_fingerprint: FINGERPRINT,
    choices: request.questions.map((question, index) => ({
      index,
      text: generatedText(question, tokens),
      logprobs: null,
      finish_reason,
    })),
    usage: completionUsage(request, context.outputTokens),
  };
}

function embeddings(request: EmbeddingRequest, { model }: AnswerContext): object {
  const tokens = request.inputs.reduce((sum, input) => sum + promptTokens(input), 0);
  return {
    object: "list",
    model,
    system_fingerprint: FINGERPRINT,
    data: request.inputs.map((input, index) => ({
      object: "embedding",
      index,
      embedding: encoded(pseudoVector(input, request.dimensions), request.encoding),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

function encoded(vector: Float32Array, encoding: "float" | "base64"): string | number[] {
  if (encoding === "base64") return Buffer.from(vector.buffer).toString("base64");
  // Seven decimals say all that a 32-bit float of this size holds.
  return Array.from(vector, (value) => Math.round(value * 1e7) / 1e7);
}

const MODERATION_CATEGORIES = [
  "harassment",
  "harassment/threatening",
  "hate",
  "hate/threatening",
  "illicit",
  "illicit/violent",
  "self-harm",
  "self-harm/instructions",
  "self-harm/intent",
  "sexual",
  "sexual/minors",
  "violence",
  "violence/graphic",
];

const UNFLAGGED = {
  flagged: false,
  categories: Object.fromEntries(MODERATION_CATEGORIES.map((name) => [name, false])),
  category_scores: Object.fromEntries(MODERATION_CATEGORIES.map((name) => [name, 0])),
};

function moderation(request: ModerationRequest, { model, serial }: AnswerContext): object {
  return {
    id: `modr-sim${serial}`,
    model,
    system_fingerprint: FINGERPRINT,
    results: request.inputs.map(() => UNFLAGGED),
  };
}
