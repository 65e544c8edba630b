// Answers to requests for images and transcriptions. Each repeats under `received` what arrived, so that a test
// can tell whether bytes were lost on the way.
import { hash } from "node:crypto";
import { type AnswerContext, FINGERPRINT, nowSeconds } from "./answer-context.ts";
import { promptTokens } from "./generated-text.ts";
import type { ImageRequest, TranscriptionRequest } from "./media-request.ts";
import type { ReceivedFile } from "./received-file.ts";

const TOKENS_PER_FILE = 85;
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg==",
  "base64",
);

/** An ImagesResponse of PNGs, each of `imageBytes`; equal prompts give equal images, others differ. */
export function imageAnswer(request: ImageRequest, context: AnswerContext): object {
  const { prompt, count, received } = request;
  const text = promptTokens(prompt);
  const image = received.files.length * TOKENS_PER_FILE;
  const output = count * context.outputTokens;
  return {
    created: nowSeconds(),
    system_fingerprint: FINGERPRINT,
    output_format: "png",
    data: Array.from({ length: count }, (_, index) => ({
      b64_json: paddedPng(`${index} ${prompt}`, context.imageBytes).toString("base64"),
    })),
    usage: {
      input_tokens: text + image,
      input_tokens_details: { text_tokens: text, image_tokens: image },
      output_tokens: output,
      total_tokens: text + image + output,
    },
    received,
  };
}

/** A Transcription whose text is about the file: its size and SHA-256, or its URL. */
export function transcriptionAnswer(
  { prompt, file, received }: TranscriptionRequest,
  { outputTokens }: AnswerContext,
): object {
  const text = promptTokens(prompt);
  const audio = TOKENS_PER_FILE;
  return {
    text: `Simulated transcription of ${fileText(file)}`,
    system_fingerprint: FINGERPRINT,
    usage: {
      type: "tokens",
      input_tokens: text + audio,
      input_token_details: { text_tokens: text, audio_tokens: audio },
      output_tokens: outputTokens,
      total_tokens: text + audio + outputTokens,
    },
    received,
  };
}

function fileText(file: ReceivedFile): string {
  return "url" in file ? file.url : `${file.size_bytes} bytes with SHA-256 ${file.sha256}`;
}

/** One grey pixel; a reader of PNGs stops at its end and never sees the padding. */
function paddedPng(seed: string, sizeBytes: number): Buffer {
  const image = Buffer.alloc(sizeBytes, hash("sha256", seed, "buffer"));
  PIXEL.copy(image);
  return image;
}
