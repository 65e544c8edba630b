// A line of a file in pieces, so that it is put together only where it is written to.

const encoder = new TextEncoder();

/** Pieces in order. Strings are ASCII. */
export type LineParts = readonly (string | Uint8Array)[];

/** How many bytes the pieces have together. */
export function lengthOfParts(parts: LineParts): number {
  let length = 0;
  for (const part of parts) length += part.length;
  return length;
}

/** The pieces in one array. */
export function joinParts(parts: LineParts): Uint8Array {
  const bytes = new Uint8Array(lengthOfParts(parts));
  let at = 0;
  for (const part of parts) {
    bytes.set(typeof part === "string" ? encoder.encode(part) : part, at);
    at += part.length;
  }
  return bytes;
}
