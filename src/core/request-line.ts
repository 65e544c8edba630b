// One line of a batch input file: what it must be, and where its parts stand in bytes. Pure, so
// that the server, the command line and a browser refuse the same lines with the same words.

import { findAttachmentProblem } from "./attachments.ts";
import type { ValidationError } from "./batch.ts";
import type { Endpoint } from "./endpoints.ts";
import { isTooComplex, MAX_PARTS } from "./json-complexity.ts";
import { type MemberSpan, readMembers, repeatedMember } from "./json-members.ts";
import { CUSTOM_ID_MAX_BYTES } from "./limits.ts";

/** A line that may be sent. Offsets are relative to the bytes given to `readRequestLine`. */
export interface RequestLine {
  customId: string;
  /** The custom_id as it stands in the file, quotes included. */
  customIdSpan: MemberSpan;
  bodySpan: MemberSpan;
  /** Members of the body; offsets as above. */
  bodyMembers: MemberSpan[];
  /** As the line names it; empty when it names none and need not. */
  model: string;
  /** What the line adds to the embedding inputs of its batch. */
  inputCount: number;
}

export type ReadLine = { ok: true; line: RequestLine } | { ok: false; error: ValidationError };

const EXCERPT_CHARS = 200;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function refusal(
  line: number,
  code: string,
  param: string | null,
  message: string,
): { ok: false; error: ValidationError } {
  return { ok: false, error: { code, message, param, line } };
}

/** What a JSON value is, with its article, as OpenAI's messages put it. */
export function describeJson(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "number") return Number.isInteger(value) ? "an integer" : "a decimal";
  return typeof value === "boolean" ? "a boolean" : "a string";
}

function wrongType(line: number, param: string, expected: string, value: unknown): ReadLine {
  const got = `expected ${expected}, but got ${describeJson(value)} instead.`;
  return refusal(line, "invalid_type", param, `Invalid type for '${param}': ${got}`);
}

/** What a message quotes of a line: a line may be as long as a file. */
export function excerpt(text: string): string {
  const shown = text.length > EXCERPT_CHARS ? `${text.slice(0, EXCERPT_CHARS)}…` : text;
  return shown.toWellFormed();
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** Embedding inputs: each element of an array counts, but an array of token numbers is one input. */
function countInputs(input: unknown): number {
  return Array.isArray(input) && typeof input[0] !== "number" ? input.length : 1;
}

const LINE_MEMBERS = ["custom_id", "method", "url", "body"] as const;

/**
 * Reads and checks one line on its own; the first thing wrong with it is its error. Codes and
 * wording: the OpenAI Batch API's, where they are known.
 * @param bytes the line without its line break
 * @param lineNumber 1-based, for the error
 */
export function readRequestLine(
  bytes: Uint8Array,
  lineNumber: number,
  endpoint: Endpoint,
): ReadLine {
  if (isTooComplex(bytes)) {
    const message = `This line holds more than ${MAX_PARTS} arrays and objects. Expected at most that many.`;
    return refusal(lineNumber, "request_too_complex", null, message);
  }
  let text: string;
  let parsed: unknown;
  try {
    text = decoder.decode(bytes);
    parsed = JSON.parse(text);
  } catch {
    const message = "This line is not parseable as valid JSON.";
    return refusal(lineNumber, "invalid_json_line", null, message);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    const message = `Invalid type for this line: expected an object, but got ${describeJson(parsed)} instead.`;
    return refusal(lineNumber, "invalid_type", null, message);
  }
  const line = parsed as Record<string, unknown>;
  for (const name of LINE_MEMBERS) {
    if (!Object.hasOwn(line, name)) {
      const message = `Missing required parameter: '${name}'.`;
      return refusal(lineNumber, "missing_required_parameter", name, message);
    }
  }
  const { custom_id: customId, method, url, body } = line;
  if (typeof customId !== "string") return wrongType(lineNumber, "custom_id", "a string", customId);
  if (customId === "") {
    const message = "Invalid 'custom_id': empty string. Expected a string with minimum length 1.";
    return refusal(lineNumber, "empty_string", "custom_id", message);
  }
  if (method !== "POST") {
    const got = typeof method === "string" ? JSON.stringify(excerpt(method)) : describeJson(method);
    const message = `Invalid method: ${got}. Only "POST" is supported in the Batch API.`;
    return refusal(lineNumber, "invalid_method", "method", message);
  }
  if (url !== endpoint.path) {
    const message = "The URL provided for this request does not match the batch endpoint.";
    return refusal(lineNumber, "invalid_url", "url", message);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return wrongType(lineNumber, "body", "an object", body);
  }
  return readBody({ bytes, text }, lineNumber, endpoint, customId, body as Record<string, unknown>);
}

function readBody(
  { bytes, text }: { bytes: Uint8Array; text: string },
  lineNumber: number,
  endpoint: Endpoint,
  customId: string,
  body: Record<string, unknown>,
): ReadLine {
  const model = body["model"] ?? "";
  if (typeof model !== "string") return wrongType(lineNumber, "body.model", "a string", model);
  // An empty prompt is the backend's to judge; an empty model can't be routed.
  const missing =
    endpoint.modelRequired && !model
      ? "model"
      : endpoint.required.find((name) => (body[name] ?? null) === null);
  if (missing !== undefined) {
    const message = `${capitalised(missing)} parameter is required.`;
    return refusal(lineNumber, "invalid_request", `body.${missing}`, message);
  }
  if (body["stream"] === true) {
    const message = `${endpoint.title}: Streaming is not supported in the Batch API.`;
    return refusal(lineNumber, "streaming_unsupported", "body.stream", message);
  }
  const problem = findAttachmentProblem(body, endpoint.attachments);
  if (problem?.code === "invalid_type") {
    return wrongType(lineNumber, problem.param, problem.expected, problem.value);
  }
  if (problem) return refusal(lineNumber, problem.code, problem.param, problem.message);
  const lineMembers = readMembers(bytes, "body", text);
  const customIdSpan = lineMembers.find(({ name }) => name === "custom_id") as MemberSpan;
  const bodySpan = lineMembers.find(({ name }) => name === "body") as MemberSpan;
  const bodyMembers = bodySpan.members ?? [];
  const twice = repeatedMember(lineMembers);
  const twiceInBody = repeatedMember(bodyMembers);
  if (twice !== undefined || twiceInBody !== undefined) {
    const param = excerpt(twice ?? `body.${twiceInBody}`);
    const message = `The member '${param}' appears more than once. Each member must be given once.`;
    return refusal(lineNumber, "duplicate_member", param, message);
  }
  if (customIdSpan.end - customIdSpan.start > CUSTOM_ID_MAX_BYTES) {
    const got = `Expected at most ${CUSTOM_ID_MAX_BYTES} bytes, but got ${customIdSpan.end - customIdSpan.start} instead.`;
    const message = `Invalid 'custom_id': string too long. ${got}`;
    return refusal(lineNumber, "string_above_max_length", "custom_id", message);
  }
  const inputCount = endpoint.countsInputs ? countInputs(body["input"]) : 0;
  return { ok: true, line: { customId, customIdSpan, bodySpan, bodyMembers, model, inputCount } };
}
