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
  /** The value's own members, where they were asked for and the value is an object. */
  members?: MemberSpan[];
}

const decoder = new TextDecoder();

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function skipSpace(bytes: Uint8Array, at: number): number {
  while (isSpace(bytes[at])) at++;
  return at;
}

/** Most strings end within so many bytes; for longer ones the search is left to native code. */
const SHORT_STRING_BYTES = 32;

/** From an opening quote to just behind the closing one. */
function skipString(bytes: Uint8Array, at: number): number {
  const longFrom = at + SHORT_STRING_BYTES;
  for (at++; at < longFrom; at++) {
    if (bytes[at] === QUOTE) return at + 1;
    if (bytes[at] === BACKSLASH) at++;
  }
  let quote = bytes.indexOf(QUOTE, at);
  while (isEscaped(bytes, quote, at)) quote = bytes.indexOf(QUOTE, quote + 1);
  return quote + 1;
}

/** Whether an odd number of backslashes stands in front of `at`, none of them before `from`. */
function isEscaped(bytes: Uint8Array, at: number, from: number): boolean {
  let first = at;
  while (first > from && bytes[first - 1] === BACKSLASH) first--;
  return (at - first) % 2 === 1;
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

/** The name between the quotes at `start` and before `end`. */
function memberName(bytes: Uint8Array, start: number, end: number): string {
  let name = "";
  for (let at = start + 1; at < end - 1; at++) {
    const byte = bytes[at] as number;
    if (byte === BACKSLASH || byte > 0x7e) {
      return JSON.parse(decoder.decode(bytes.subarray(start, end))) as string;
    }
    name += String.fromCharCode(byte);
  }
  return name;
}

/**
 * The members of the object that stands in [start, end) of `bytes`, in order, repeated names
 * included. White space around the object is allowed. The object must be valid JSON.
 * @param nested the name of a member whose own members are wanted too
 */
export function readMembers(
  bytes: Uint8Array,
  start: number,
  end: number,
  nested?: string,
): MemberSpan[] {
  const members: MemberSpan[] = [];
  scanObject(bytes, skipSpace(bytes, start), end, members, nested);
  return members;
}

/** Appends the members of the object whose brace is at `at`; answers where it ends. */
function scanObject(
  bytes: Uint8Array,
  at: number,
  end: number,
  members: MemberSpan[],
  nested?: string,
): number {
  at = skipSpace(bytes, at + 1);
  while (at < end && bytes[at] === QUOTE) {
    const nameEnd = skipString(bytes, at);
    const name = memberName(bytes, at, nameEnd);
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const member: MemberSpan = { name, start: valueStart, end: valueStart };
    if (name === nested && bytes[valueStart] === OPEN_BRACE) {
      member.members = [];
      member.end = scanObject(bytes, valueStart, end, member.members);
    } else {
      member.end = skipValue(bytes, valueStart, end);
    }
    members.push(member);
    at = skipSpace(bytes, member.end);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return at + 1;
}

const FEW_MEMBERS = 8;

/** The first name that stands twice, if any. */
export function repeatedMember(members: readonly MemberSpan[]): string | undefined {
  // A set costs more than a few comparisons.
  if (members.length <= FEW_MEMBERS) {
    return members.find(({ name }, at) => members.findIndex((other) => other.name === name) < at)
      ?.name;
  }
  const seen = new Set<string>();
  for (const { name } of members) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}
