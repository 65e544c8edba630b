// One line of an output or error file: made once when the answer arrives, in pieces, and copied
// from then on. An upstream's answer is spliced in as it came, so long as it stays one line.

import { isTooComplex } from "./json-complexity.ts";
import { joinParts, type LineParts } from "./line-parts.ts";
import { readUsage, type Usage } from "./usage.ts";

/** Which of the two files a line belongs to. */
export type LineClass = "output" | "error";

/** What an answer's body holds, parsed once. */
export interface ReadAnswer {
  /** False when the body is not JSON in valid UTF-8, or too complex to be parsed. */
  json: boolean;
  usage: Usage | null;
  model: string | null;
  /** `error.code`, or `error.type` without one, of an error answer. */
  errorCode: string | null;
}

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lossyDecoder = new TextDecoder();
const NOT_JSON: ReadAnswer = { json: false, usage: null, model: null, errorCode: null };
const EXCERPT_BYTES = 500;

/** Longer ones are not told: they would be in every answer about the batch. */
const MAX_NAME_CHARACTERS = 512;

function name(value: unknown): string | null {
  if (typeof value !== "string" || value === "") return null;
  return value.length <= MAX_NAME_CHARACTERS ? value : null;
}

/** Parses an answer's body to check it and to read what the engine needs of it. */
export function readAnswer(body: Uint8Array): ReadAnswer {
  if (isTooComplex(body)) return NOT_JSON;
  let parsed: unknown;
  try {
    parsed = JSON.parse(strictDecoder.decode(body));
  } catch {
    return NOT_JSON;
  }
  if (typeof parsed !== "object" || parsed === null) {
    return { json: true, usage: null, model: null, errorCode: null };
  }
  const { model, error } = parsed as { model?: unknown; error?: unknown };
  const about =
    typeof error === "object" && error !== null ? (error as Record<string, unknown>) : {};
  return {
    json: true,
    usage: readUsage(parsed),
    model: name(model),
    errorCode: name(about["code"]) ?? name(about["type"]),
  };
}

/**
 * The JSON text with nothing in it that ends a line for any reader: raw line breaks (white space
 * between tokens, since JSON strings can't hold them) become spaces; U+0085, U+2028 and U+2029,
 * at which some clients split lines, become escapes. The same array when nothing is to be done.
 * @internal
 */
export function singleLine(json: Uint8Array): Uint8Array {
  if (!json.includes(0x0a) && !json.includes(0x0d) && !hasUnicodeBreak(json)) return json;
  const escaped = strictDecoder
    .decode(json)
    .replaceAll(/[\r\n]/g, " ")
    .replaceAll(/[\u0085\u2028\u2029]/g, (char) => {
      return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
    });
  return encoder.encode(escaped);
}

function hasUnicodeBreak(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(0xc2); at >= 0; at = bytes.indexOf(0xc2, at + 1)) {
    if (bytes[at + 1] === 0x85) return true;
  }
  for (let at = bytes.indexOf(0xe2); at >= 0; at = bytes.indexOf(0xe2, at + 1)) {
    if (bytes[at + 1] === 0x80 && ((bytes[at + 2] as number) | 1) === 0xa9) return true;
  }
  return false;
}

/**
 * The line for a whole HTTP answer, newline included. A body that is not JSON is wrapped as an
 * error body that quotes its beginning.
 * @param customId the custom_id as it stands in the input file, quotes included
 */
export function answerLine(
  ids: { lineId: string; requestId: string },
  customId: Uint8Array,
  answer: { status: number; body: Uint8Array; json: boolean },
): LineParts {
  return [
    `{"id": "${ids.lineId}", "custom_id": `,
    singleLine(customId),
    `, "response": {"status_code": ${answer.status}, "request_id": "${ids.requestId}", "body": `,
    singleLine(answer.json ? answer.body : encoder.encode(wrapped(answer))),
    '}, "error": null}\n',
  ];
}

function wrapped(answer: { status: number; body: Uint8Array }): string {
  const excerpt = lossyDecoder.decode(answer.body.subarray(0, EXCERPT_BYTES));
  const message = `The upstream answered ${answer.status} with a body that is not valid JSON. It begins: ${excerpt}`;
  const error = { message, type: "upstream_error", param: null, code: "invalid_upstream_answer" };
  return JSON.stringify({ error });
}

/** The line for a request without an HTTP answer, newline included. `customId` as above. */
export function errorLine(
  lineId: string,
  customId: Uint8Array,
  error: { code: string; message: string },
): Uint8Array {
  return joinParts([
    `{"id": "${lineId}", "custom_id": `,
    singleLine(customId),
    `, "response": null, "error": `,
    singleLine(encoder.encode(JSON.stringify({ code: error.code, message: error.message }))),
    "}\n",
  ]);
}
