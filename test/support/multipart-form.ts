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

export function formBody(parts: readonly FormPart[]): Buffer {
  const pieces = parts.flatMap(({ name, value, filename, type }) => [
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"`,
    filename === undefined ? "" : `; filename="${filename}"`,
    type === undefined ? "" : `\r\ncontent-type: ${type}`,
    "\r\n\r\n",
    value,
    "\r\n",
  ]);
  return Buffer.concat([...pieces, `--${BOUNDARY}--\r\n`].map((piece) => Buffer.from(piece)));
}

/** A POST of the form in one piece. */
export function form(...parts: FormPart[]): RawRequest {
  return { method: "POST", headers: formHeaders, body: formBody(parts) };
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
