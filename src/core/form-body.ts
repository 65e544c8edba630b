// Writes the body of a multipart/form-data request (RFC 7578). Whatever names and contents there are, they
// stay inside their parts: names are escaped as browsers do it, and the boundary can't be foreseen.

import { randomBase62 } from "./ids.ts";

export interface FormFile {
  /** Name of the part. */
  name: string;
  filename: string;
  mediaType: string;
  bytes: Uint8Array;
}

const BOUNDARY_CHARACTERS = 32;
const LINE_BREAKS = /\r\n|\r|\n/g;
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+$/;
const encoder = new TextEncoder();

/** As browsers escape the names of parts and files. */
function escaped(name: string): string {
  return name.toWellFormed().replaceAll(LINE_BREAKS, "%0D%0A").replaceAll('"', "%22");
}

/** The fields and then the files, each in its order; `contentType` has the boundary. */
export function encodeForm(
  fields: readonly (readonly [name: string, text: string])[],
  files: readonly FormFile[],
): { contentType: string; body: Uint8Array } {
  const boundary = `offpeak-${randomBase62(BOUNDARY_CHARACTERS)}`;
  const parts: Uint8Array[] = [];
  const text = (part: string) => parts.push(encoder.encode(part));
  const head = (name: string) =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${escaped(name)}"`;
  for (const [name, value] of fields) text(`${head(name)}\r\n\r\n${value}\r\n`);
  for (const { name, filename, mediaType, bytes } of files) {
    const type = MEDIA_TYPE.test(mediaType) ? mediaType : "application/octet-stream";
    text(`${head(name)}; filename="${escaped(filename)}"\r\ncontent-type: ${type}\r\n\r\n`);
    parts.push(bytes);
    text("\r\n");
  }
  text(`--${boundary}--\r\n`);
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return { contentType: `multipart/form-data; boundary=${boundary}`, body };
}
