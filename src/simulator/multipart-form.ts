// Reads a multipart/form-data body (RFC 7578) that is in memory as a whole. The parts are views of the body,
// not copies; a body that is no form, or breaks off, is a refusal that says at which byte.
import { type Refusal, isRefusal, refusal } from "./refusal.ts";

export interface FormPart {
  name: string;
  /** Undefined for a part that is a field, not a file. */
  fileName: string | undefined;
  contentType: string | undefined;
  bytes: Buffer;
}

type PartHead = Omit<FormPart, "bytes">;

const MAX_PARTS = 256;
const MAX_HEAD_BYTES = 8_192;
/** Quoted or not, 1 to 70 characters, as RFC 2046 allows them. */
const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i;
const DISPOSITION = /^content-disposition:[ \t]*form-data[ \t]*(;.*)$/im;
const NAME = /;\s*name=(?:"([^"]*)"|([^\s;"]+))/i;
const FILE_NAME = /;\s*filename=(?:"([^"]*)"|([^\s;"]+))/i;
const CONTENT_TYPE = /^content-type:[ \t]*(.*?)[ \t]*$/im;

export function isMultipartForm(contentType: string): boolean {
  return /^multipart\/form-data\s*(;|$)/i.test(contentType);
}

/** The parts in their order; or a 400 for a form that is malformed, or has more than 256 parts. */
export function readMultipartForm(contentType: string, body: Buffer): FormPart[] | Refusal {
  const boundary = captured(BOUNDARY, contentType);
  if (boundary === undefined) {
    return malformed(`a boundary of 1 to 70 characters in the content-type`, 0);
  }
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  // The first delimiter has no line before it whose end it would need.
  const opening = delimiter.subarray(2);
  if (!opening.equals(body.subarray(0, opening.length))) {
    return malformed("the boundary of the content-type", 0);
  }
  const parts: FormPart[] = [];
  let at = opening.length;
  while (body.toString("latin1", at, at + 2) !== "--") {
    if (parts.length === MAX_PARTS) return malformed(`at most ${MAX_PARTS} parts`, at);
    const end = body.indexOf(delimiter, at);
    if (end === -1) return malformed("the boundary that ends the part which begins", at);
    const part = readPart(body.subarray(at, end), at);
    if (isRefusal(part)) return part;
    parts.push(part);
    at = end + delimiter.length;
  }
  return parts;
}

/** `part` is all that stands between two boundaries, from the line break that ends the first one's line. */
function readPart(part: Buffer, at: number): FormPart | Refusal {
  const headEnd = part.subarray(0, MAX_HEAD_BYTES).indexOf("\r\n\r\n");
  if (part.toString("latin1", 0, 2) !== "\r\n" || headEnd === -1) {
    const limit = `in at most ${MAX_HEAD_BYTES} bytes`;
    return malformed(`a line break, headers ${limit} and an empty line behind the boundary`, at);
  }
  const head = readHead(part.toString("utf8", 2, Math.max(2, headEnd)));
  if (head === undefined) {
    return malformed(`a header 'content-disposition: form-data; name="…"' for the part`, at);
  }
  return { ...head, bytes: part.subarray(headEnd + 4) };
}

function readHead(head: string): PartHead | undefined {
  const disposition = captured(DISPOSITION, head) ?? "";
  const name = captured(NAME, disposition);
  if (name === undefined) return undefined;
  return {
    name,
    fileName: captured(FILE_NAME, disposition),
    contentType: captured(CONTENT_TYPE, head),
  };
}

function captured(pattern: RegExp, text: string): string | undefined {
  const match = pattern.exec(text);
  return match?.[1] ?? match?.[2];
}

function malformed(expected: string, at: number): Refusal {
  const message = `Malformed multipart/form-data body: expected ${expected}, at byte ${at}.`;
  return refusal(400, message, "invalid_form");
}
