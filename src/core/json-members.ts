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

/** A JSON text by byte, and as a string where that has a character for each byte, as ASCII does. */
interface Source {
  bytes: Uint8Array;
  text: string | null;
}

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
function skipString(source: Source, at: number): number {
  const { bytes } = source;
  const longFrom = at + SHORT_STRING_BYTES;
  for (at++; at < longFrom; at++) {
    if (bytes[at] === QUOTE) return at + 1;
    if (bytes[at] === BACKSLASH) at++;
  }
  let quote = nextQuote(source, at);
  while (isEscaped(bytes, quote, at)) quote = nextQuote(source, quote + 1);
  return quote + 1;
}

function nextQuote({ bytes, text }: Source, from: number): number {
  // Strings are searched in half the time.
  return text === null ? bytes.indexOf(QUOTE, from) : text.indexOf('"', from);
}

/** Whether an odd number of backslashes stands in front of `at`, none of them before `from`. */
function isEscaped(bytes: Uint8Array, at: number, from: number): boolean {
  let first = at;
  while (first > from && bytes[first - 1] === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

/** From the first byte of a value to just behind it. */
function skipValue(source: Source, at: number): number {
  const { bytes } = source;
  const end = bytes.length;
  const first = bytes[at];
  if (first === QUOTE) return skipString(source, at);
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
      at = skipString(source, at);
      continue;
    }
    at++;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) break;
  }
  return at;
}

/** The name between the quotes at `start` and before `end`. */
function memberName({ bytes, text }: Source, start: number, end: number): string {
  const quoted =
    text === null ? decoder.decode(bytes.subarray(start, end)) : text.slice(start, end);
  return quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

/**
 * The members of a JSON object, in order, repeated names included. White space around the object is
 * allowed. It must be valid JSON.
 * @param nested the name of a member whose own members are wanted too
 * @param text the bytes decoded, when the caller has them so
 */
export function readMembers(json: Uint8Array, nested?: string, text?: string): MemberSpan[] {
  const source = { bytes: json, text: text?.length === json.length ? text : null };
  const members: MemberSpan[] = [];
  scanObject(source, skipSpace(json, 0), members, nested);
  return members;
}

/** Appends the members of the object whose brace is at `at`; answers where it ends. */
function scanObject(source: Source, at: number, members: MemberSpan[], nested?: string): number {
  const { bytes } = source;
  at = skipSpace(bytes, at + 1);
  while (bytes[at] === QUOTE) {
    const nameEnd = skipString(source, at);
    const name = memberName(source, at, nameEnd);
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const member: MemberSpan = { name, start: valueStart, end: valueStart };
    if (name === nested && bytes[valueStart] === OPEN_BRACE) {
      member.members = [];
      member.end = scanObject(source, valueStart, member.members);
    } else {
      member.end = skipValue(source, valueStart);
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
    for (let at = 1; at < members.length; at++) {
      const { name } = members[at] as MemberSpan;
      for (let other = 0; other < at; other++) if (members[other]?.name === name) return name;
    }
    return undefined;
  }
  const seen = new Set<string>();
  for (const { name } of members) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}
