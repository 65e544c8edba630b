// Reads the body of POST /v1/embeddings: every way in which it can be wrong is a refusal that says what
// was expected and what came. A text that passes can be embedded: the model itself fails on empty ones.

import { ApiError } from "../src/core/api-error.ts";

export const EMBEDDING_MODEL = "universal-sentence-encoder-lite";
const EMBEDDING_DIMENSIONS = 512;

const MAX_INPUTS = 512;
/** The model reads the first 128 tokens; texts far beyond that are refused rather than cut in silence. */
const MAX_INPUT_CHARACTERS = 2000;

export interface EmbeddingRequest {
  texts: string[];
  encodingFormat: "float" | "base64";
}

/** Checks a parsed body. Throws `ApiError`: 404 `model_not_found` for another model, 400 for the rest. */
export function readEmbeddingRequest(body: unknown): EmbeddingRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError(400, `Expected a JSON object, got ${describe(body)}.`);
  }
  const members: Record<string, unknown> = { ...body };
  checkModel(members["model"]);
  checkDimensions(members["dimensions"]);
  return {
    texts: readInput(members["input"]),
    encodingFormat: readEncodingFormat(members["encoding_format"]),
  };
}

function checkModel(model: unknown): void {
  if (typeof model !== "string") {
    throw invalid(
      "model",
      `expected a string such as "${EMBEDDING_MODEL}", got ${describe(model)}.`,
    );
  }
  if (model !== EMBEDDING_MODEL) {
    throw new ApiError(
      404,
      `The model '${model}' does not exist; this server has '${EMBEDDING_MODEL}' alone.`,
      { code: "model_not_found", param: "model" },
    );
  }
}

function checkDimensions(dimensions: unknown): void {
  if (dimensions !== undefined && dimensions !== EMBEDDING_DIMENSIONS) {
    throw invalid(
      "dimensions",
      `the model gives ${EMBEDDING_DIMENSIONS} dimensions and can't give another number; leave it out.`,
    );
  }
}

function readEncodingFormat(format: unknown): "float" | "base64" {
  if (format === undefined || format === "float") return "float";
  if (format === "base64") return "base64";
  throw invalid("encoding_format", `expected "float" or "base64", got ${describe(format)}.`);
}

function readInput(input: unknown): string[] {
  if (typeof input === "string") return [readText(input, "input")];
  if (!Array.isArray(input)) {
    throw invalid("input", `expected a string or an array of strings, got ${describe(input)}.`);
  }
  if (input.length === 0 || input.length > MAX_INPUTS) {
    throw invalid("input", `expected 1 to ${MAX_INPUTS} texts, got ${input.length}.`);
  }
  return input.map((element, i) => readText(element, `input[${i}]`));
}

function readText(text: unknown, where: string): string {
  if (typeof text === "number" || Array.isArray(text)) {
    throw invalid(where, "token arrays are not supported by this server; send the text itself.");
  }
  if (typeof text !== "string") {
    throw invalid(where, `expected a string, got ${describe(text)}.`);
  }
  if (text === "") {
    throw invalid(where, "expected a text, got an empty string; leave empty texts out.");
  }
  if (text.length > MAX_INPUT_CHARACTERS) {
    throw invalid(
      where,
      `expected at most ${MAX_INPUT_CHARACTERS} characters, got ${text.length}; split the text.`,
    );
  }
  return text;
}

function invalid(where: string, problem: string): ApiError {
  return new ApiError(400, `Invalid '${where}': ${problem}`, { param: where });
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return `"${value.slice(0, 40)}"`;
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
