// Range requests (RFC 9110, section 14): which bytes of a file a client asks for.
import type { IncomingHttpHeaders } from "node:http";
import type { ByteSpan } from "../files/blob-stream.ts";

const SINGLE_RANGE = /^bytes=(\d*)-(\d*)$/i;

/**
 * The range that is asked for; undefined when the whole is to be sent: nothing is asked for, or what
 * this server may ignore (several ranges, other units, what can't be read, an If-Range that is not
 * `etag`); "unsatisfiable" when the file has no byte of it.
 */
export function requestedRange(
  { range, "if-range": ifRange }: IncomingHttpHeaders,
  { sizeBytes, etag }: { sizeBytes: number; etag: string },
): ByteSpan | "unsatisfiable" | undefined {
  const [, first, last] = SINGLE_RANGE.exec(range ?? "") ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  if (ifRange !== undefined && ifRange !== etag) return undefined;
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  const isSuffix = first === "";
  const start = isSuffix ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = isSuffix || last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return start < end ? { start, end } : "unsatisfiable";
}
