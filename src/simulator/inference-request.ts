// Reads the body of an inference endpoint into what the simulator needs to answer it; those that take and give
// text are read here. A body that cannot be answered becomes a refusal that names the member at fault.
import {
  type ImageRequest,
  type TranscriptionRequest,
  type VideoRequest,
  readImageEdit,
  readImageGeneration,
  readTranscription,
  readVideo,
} from "./media-request.ts";
import { type Json, isObject, isWhole, wrong } from "./members.ts";
import { type RerankRequest, type ScoreRequest, readRerank, readScore } from "./ranking-request.ts";
import { type Refusal, isRefusal, refusal } from "./refusal.ts";
import { type RequestBody, readRequestBody } from "./request-body.ts";

/** Text is generated: /v1/chat/completions, /v1/completions, /v1/responses. */
export interface GenerationRequest {
  kind: "chat" | "completion" | "response";
  /** Undefined where the request leaves it out. */
  model: string | undefined;
  /** All text of the request: what tells it from others, and what its tokens are counted by. */
  prompt: string;
  /** The text each choice answers: the last message, or each prompt of a list. */
  questions: string[];
  maxTokens: number | undefined;
  stream: boolean;
  /** Whether a stream of a chat or completion ends with its usage. */
  includeUsage: boolean;
}

export interface EmbeddingRequest {
  kind: "embedding";
  model: string | undefined;
  prompt: string;
  inputs: string[];
  dimensions: number;
  encoding: "float" | "base64";
}

export interface ModerationRequest {
  kind: "moderation";
  model: string | undefined;
  prompt: string;
  /** One result is due for each. */
  inputs: string[];
}

export type InferenceRequest =
  | GenerationRequest
  | EmbeddingRequest
  | ModerationRequest
  | ImageRequest
  | VideoRequest
  | TranscriptionRequest
  | RerankRequest
  | ScoreRequest;

type Reader = (members: Json, body: RequestBody) => InferenceRequest | Refusal;

const READERS = new Map<string, Reader>([
  ["/v1/chat/completions", readChat],
  ["/v1/completions", readCompletion],
  ["/v1/responses", readResponse],
  ["/v1/embeddings", readEmbedding],
  ["/v1/moderations", readModeration],
  ["/v1/images/generations", readImageGeneration],
  ["/v1/images/edits", readImageEdit],
  ["/v1/videos", readVideo],
  ["/v1/audio/transcriptions", readTranscription],
  ["/v1/rerank", readRerank],
  ["/v1/score", readScore],
]);

const FORM_PATHS = new Set(["/v1/images/edits", "/v1/videos", "/v1/audio/transcriptions"]);
/** What is asked of these may leave the model out, as at OpenAI. */
const KINDS_WITHOUT_MODEL = new Set<InferenceRequest["kind"]>(["moderation", "image", "video"]);

const DEFAULT_DIMENSIONS = 64;
const MAX_DIMENSIONS = 8_192;
const MAX_INPUTS = 2_048;
const MAX_CHOICES = 128;

export function isInferencePath(path: string): boolean {
  return READERS.has(path);
}

/**
 * The request in `body`, sent to an inference path; or what is wrong with it (400). Everything is read as JSON
 * but what has the content type of a form.
 */
export function readInferenceRequest(
  path: string,
  body: Buffer,
  contentType = "",
): InferenceRequest | Refusal {
  const read = READERS.get(path);
  if (read === undefined) throw new Error(`Expected an inference path, got ${path}`);
  const received = readRequestBody(body, contentType);
  if (isRefusal(received)) return received;
  const { form, members } = received;
  if (form === "multipart" && !FORM_PATHS.has(path)) {
    return refusal(400, `${path} expects a JSON body, got multipart/form-data.`);
  }
  if (members["model"] !== undefined && typeof members["model"] !== "string") {
    return wrong("model", "a string", members["model"]);
  }
  return read(members, received);
}

/** The served model the request asks for; a 400 without a model, a 404 for one that is not served. */
export function servedModel(
  { model, kind }: InferenceRequest,
  models: readonly string[],
): string | Refusal {
  if (model === undefined) {
    const isOptional = KINDS_WITHOUT_MODEL.has(kind);
    return isOptional ? (models[0] ?? "") : wrong("model", "the name of a model", model);
  }
  return models.includes(model) ? model : unknownModel(model, models);
}

export function unknownModel(model: string, models: readonly string[]): Refusal {
  const served = models.map((name) => `'${name}'`).join(", ");
  const message = `The model '${model}' is not served by this simulator, which serves ${served}.`;
  return refusal(404, message, "model_not_found", "model");
}

function readChat(body: Json): InferenceRequest | Refusal {
  const messages = body["messages"];
  if (!Array.isArray(messages) || messages.length === 0) {
    return wrong("messages", "a list of at least one message", messages);
  }
  const texts = messages.map(messageText);
  const choices = body["n"] ?? 1;
  if (!isWhole(choices, 1, MAX_CHOICES)) {
    return wrong("n", `a whole number from 1 to ${MAX_CHOICES}`, choices);
  }
  const questions = new Array<string>(choices).fill(texts.at(-1) ?? "");
  const limit = body["max_completion_tokens"] == null ? "max_tokens" : "max_completion_tokens";
  return generation("chat", body, texts.join("\n"), questions, limit);
}

function readCompletion(body: Json): InferenceRequest | Refusal {
  const questions = readInputs(body["prompt"], "prompt");
  if (isRefusal(questions)) return questions;
  return generation("completion", body, questions.join("\n"), questions, "max_tokens");
}

function readResponse(body: Json): InferenceRequest | Refusal {
  const input = body["input"];
  if (typeof input !== "string" && !(Array.isArray(input) && input.length > 0)) {
    return wrong("input", "a string or a list of at least one item", input);
  }
  const texts = typeof input === "string" ? [input] : input.map(messageText);
  const question = texts.at(-1) ?? "";
  if (typeof body["instructions"] === "string") texts.unshift(body["instructions"]);
  return generation("response", body, texts.join("\n"), [question], "max_output_tokens");
}

function readEmbedding(body: Json): InferenceRequest | Refusal {
  const inputs = readInputs(body["input"], "input");
  if (isRefusal(inputs)) return inputs;
  const dimensions = body["dimensions"] ?? DEFAULT_DIMENSIONS;
  if (!isWhole(dimensions, 1, MAX_DIMENSIONS)) {
    return wrong("dimensions", `a whole number from 1 to ${MAX_DIMENSIONS}`, dimensions);
  }
  const encoding = body["encoding_format"] ?? "float";
  if (encoding !== "float" && encoding !== "base64") {
    return wrong("encoding_format", '"float" or "base64"', encoding);
  }
  const model = body["model"] as string | undefined;
  return { kind: "embedding", model, prompt: inputs.join("\n"), inputs, dimensions, encoding };
}

function readModeration(body: Json): InferenceRequest | Refusal {
  const input = body["input"];
  const isMultiModal = Array.isArray(input) && input.length > 0 && input.every(isObject);
  const inputs = isMultiModal ? [contentText(input)] : readInputs(input, "input");
  if (isRefusal(inputs)) return inputs;
  const model = body["model"] as string | undefined;
  return { kind: "moderation", model, prompt: inputs.join("\n"), inputs };
}

function generation(
  kind: GenerationRequest["kind"],
  body: Json,
  prompt: string,
  questions: string[],
  limitMember: string,
): GenerationRequest | Refusal {
  const maxTokens = body[limitMember] ?? undefined;
  if (maxTokens !== undefined && !isWhole(maxTokens, 1, Number.MAX_SAFE_INTEGER)) {
    return wrong(limitMember, "a whole number of at least 1", maxTokens);
  }
  const options = body["stream_options"];
  return {
    kind,
    model: body["model"] as string | undefined,
    prompt,
    questions,
    maxTokens,
    stream: body["stream"] === true,
    includeUsage: isObject(options) && options["include_usage"] === true,
  };
}

/** A string, a list of strings, a list of tokens or a list of such lists, as one text for each input. */
function readInputs(input: unknown, param: string): string[] | Refusal {
  const inputs: unknown = typeof input === "string" || isTokens(input) ? [input] : input;
  const expected = `a text, a list of tokens, or a list of 1 to ${MAX_INPUTS} of either, none empty`;
  if (!Array.isArray(inputs) || inputs.length === 0) return wrong(param, expected, input);
  if (inputs.length > MAX_INPUTS) return wrong(param, expected, `${inputs.length} of them`);
  const unfit: unknown = inputs.find(
    (one) => one === "" || !(typeof one === "string" || isTokens(one)),
  );
  if (unfit !== undefined) return wrong(param, expected, unfit);
  return inputs.map((one: string | number[]) => (typeof one === "string" ? one : one.join(" ")));
}

function messageText(message: unknown): string {
  return isObject(message) ? contentText(message["content"]) : "";
}

function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map(partText).join("\n");
}

function partText(part: unknown): string {
  if (!isObject(part)) return "";
  return typeof part["text"] === "string" ? part["text"] : `[${String(part["type"])}]`;
}

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((token) => isWhole(token, 0));
}
