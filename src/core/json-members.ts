// Where the top-level members of a JSON object stand, in bytes. Works on JSON that is known to be
// valid (JSON.parse has accepted it), so that requests and answers can be cut and spliced without
// being written anew.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** One member: its name decoded, its value as the byte range [start, end). */
export interface MemberSpan {
  name: string;
  start: number;
  end: number;
}

const decoder = new TextDecoder();

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function skipSpace(bytes: Uint8Array, at: number): number {
  while (isSpace(bytes[at])) at++;
  return at;
}

/** From an opening quote to just behind the closing one. */
function skipString(bytes: Uint8Array, at: number): number {
  for (at++; bytes[at] !== QUOTE; at++) {
    if (bytes[at] === BACKSLASH) at++;
  }
  return at + 1;
}

/** From the first byte of a value to just behind it. */
function skipValue(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at];
  if (first === QUOTE) return skipString(bytes, at);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    while (at < end) {
      const byte = bytes[at];
      if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte)) break;
      at++;
    }
    return at;
  }
  let depth = 0;
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at);
      continue;
    }
    at++;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) break;
  }
  return at;
}

function memberName(bytes: Uint8Array, start: number, end: number): string {
  const raw = decoder.decode(bytes.subarray(start, end));
  return raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
}

/**
 * The members of the object that stands in [start, end) of `bytes`, in order, repeated names
 * included. White space around the object is allowed. The object must be valid JSON.
 */
export function readMembers(bytes: Uint8Array, start: number, end: number): MemberSpan[] {
  const members: MemberSpan[] = [];
  let at = skipSpace(bytes, skipSpace(bytes, start) + 1);
  while (at < end && bytes[at] === QUOTE) {
    const nameEnd = skipString(bytes, at);
    const name = memberName(bytes, at, nameEnd);
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const valueEnd = skipValue(bytes, valueStart, end);
    members.push({ name, start: valueStart, end: valueEnd });
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return members;
}

/** The first name that stands twice, if any. */
export function repeatedMember(members: readonly MemberSpan[]): string | undefined {
  if (members.length < 2) return undefined;
  const seen = new Set<string>();
  for (const { name } of members) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}
