// Batch input files for the simulator, written as they are generated, however large.
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export const SIMULATED_MODEL = "simulated-model";

export interface InputLine {
  customId: string;
  url: string;
  body: Record<string, unknown>;
}

export interface ChatLine {
  customId: string;
  /** What the simulator tells lines apart by, and where it looks for directives. */
  prompt: string;
  maxTokens?: number;
  model?: string;
}

export function chatLine({ customId, prompt, maxTokens, model }: ChatLine): InputLine {
  return {
    customId,
    url: "/v1/chat/completions",
    body: {
      model: model ?? SIMULATED_MODEL,
      messages: [{ role: "user", content: prompt }],
      ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    },
  };
}

/** `count` lines made by `make` from their index; their order is the order of the file. */
export function chatLines(count: number, make: (index: number) => ChatLine): InputLine[] {
  return Array.from({ length: count }, (_, index) => chatLine(make(index)));
}

export async function writeInputFile(path: string, lines: Iterable<InputLine>): Promise<string> {
  await pipeline(Readable.from(chunks(lines)), createWriteStream(path));
  return path;
}

const CHUNK_CHARACTERS = 256 * 1024;

function* chunks(lines: Iterable<InputLine>): Generator<string> {
  let chunk = "";
  for (const { customId, url, body } of lines) {
    chunk += `${JSON.stringify({ custom_id: customId, method: "POST", url, body })}\n`;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    yield chunk;
    chunk = "";
  }
  if (chunk !== "") yield chunk;
}
