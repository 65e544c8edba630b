// Reads a form as the fake backend does: names with texts, or with what is said of a file and its content.
import { readMultipartForm } from "../../src/simulator/multipart-form.ts";

export interface ReadFile {
  filename: string;
  mediaType: string | undefined;
  bytes: Buffer;
}

/** Throws what is wrong with the form. */
export function readForm(contentType: string, body: Uint8Array): [string, string | ReadFile][] {
  const parts = readMultipartForm(contentType, Buffer.from(body));
  if (!Array.isArray(parts)) throw new Error(JSON.stringify(parts));
  return parts.map(({ name, fileName, contentType: mediaType, bytes }) => [
    name,
    fileName === undefined ? bytes.toString() : { filename: fileName, mediaType, bytes },
  ]);
}
