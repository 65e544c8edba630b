// Multipart forms written by hand: any order of parts, with or without file names.
import type { RawRequest } from "./raw-http.ts";

export interface FormPart {
  name: string;
  value: string | Uint8Array;
  /** As it stands between the quotes; left out, the part has none. */
  filename?: string;
  type?: string;
}

const BOUNDARY = "a-boundary";

export const formHeaders = { "content-type": `multipart/form-data; boundary=${BOUNDARY}` };

export function formBody(parts: readonly FormPart[], boundary = BOUNDARY): Buffer {
  const pieces = parts.flatMap(({ name, value, filename, type }) => [
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"`,
    filename === undefined ? "" : `; filename="${filename}"`,
    type === undefined ? "" : `\r\ncontent-type: ${type}`,
    "\r\n\r\n",
    value,
    "\r\n",
  ]);
  return Buffer.concat([...pieces, `--${boundary}--\r\n`].map((piece) => Buffer.from(piece)));
}

/** A POST of the form in one piece. */
export function form(...parts: FormPart[]): RawRequest {
  return { method: "POST", headers: formHeaders, body: formBody(parts) };
}

/** The form with the one part of an upload. */
export function partForm(value: string | Uint8Array): RawRequest {
  return form({ name: "data", value, filename: "part", type: "application/octet-stream" });
}

/** The same form as anybody else would write it. */
export function withBoundary(boundary: string, ...parts: FormPart[]): RawRequest {
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
  return { method: "POST", headers, body: formBody(parts, boundary) };
}

/** A form with a batch input of one line. */
export function batchForm(...more: FormPart[]): RawRequest {
  return form({ name: "purpose", value: "batch" }, batchPart, ...more);
}

export const batchPart: FormPart = {
  name: "file",
  value: '{"custom_id":"a"}\n',
  filename: "in.jsonl",
  type: "application/octet-stream",
};
