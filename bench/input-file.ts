// Batch input files: lines of an exact length whose prompts begin differently, as a stream or on disk.

import { createWriteStream, existsSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface InputShape {
  lines: number;
  /** With its newline. */
  lineBytes: number;
}

const CHUNK_LINES = 64;
const prose = "The quick brown fox jumps over the lazy dog. ";

function line(index: number, lineBytes: number): string {
  const body = { model: "bench", messages: [{ role: "user", content: `${index} ` }] };
  const text = JSON.stringify({
    custom_id: `line-${index}`,
    method: "POST",
    url: "/v1/chat/completions",
    body,
  });
  const end = '"}]}}';
  const missing = lineBytes - text.length - 1;
  const filler = prose.repeat(Math.ceil(missing / prose.length)).slice(0, missing);
  return `${text.slice(0, -end.length)}${filler}${end}\n`;
}

export function inputStream({ lines, lineBytes }: InputShape): Readable {
  return Readable.from(chunks(lines, lineBytes));
}

function* chunks(lines: number, lineBytes: number): Generator<Buffer> {
  for (let from = 0; from < lines; from += CHUNK_LINES) {
    const count = Math.min(CHUNK_LINES, lines - from);
    yield Buffer.from(
      Array.from({ length: count }, (_, at) => line(from + at, lineBytes)).join(""),
    );
  }
}

/** The file of this shape in the directory; written when it is first asked for. */
export async function inputFile(directory: string, shape: InputShape): Promise<string> {
  const file = path.join(directory, `input-${shape.lines}-${shape.lineBytes}.jsonl`);
  if (!existsSync(file)) await pipeline(inputStream(shape), createWriteStream(file));
  return file;
}
