// Edits top-level members of a request body by byte; everything else stays as the client wrote it.

import { type MemberSpan, readMembers } from "./json-members.ts";

const encoder = new TextEncoder();

/**
 * The body with the values of `changes` in place of its own; a member that it lacks is added at
 * the front. `body` must be a valid JSON object without repeated top-level names.
 */
export function overlayBody(
  body: Uint8Array,
  changes: Readonly<Record<string, unknown>>,
): Uint8Array {
  const members = readMembers(body);
  const edits: Edit[] = [];
  const front = body.indexOf(0x7b) + 1;
  for (const [name, value] of Object.entries(changes)) {
    const member = members.find((candidate) => candidate.name === name);
    const json = JSON.stringify(value);
    if (member) {
      edits.push({ start: member.start, end: member.end, bytes: encoder.encode(json) });
    } else {
      const comma = members.length > 0 || edits.some((edit) => edit.start === front) ? "," : "";
      const text = `${JSON.stringify(name)}:${json}${comma}`;
      edits.unshift({ start: front, end: front, bytes: encoder.encode(text) });
    }
  }
  return spliceBody(body, edits);
}

/**
 * The body with the member `name`, which it must have, under another name and with another value.
 * `body` as above.
 */
export function replaceMember(
  body: Uint8Array,
  name: string,
  { newName, value }: { newName: string; value: unknown },
): Uint8Array {
  const members = readMembers(body);
  const at = members.findIndex((member) => member.name === name);
  const before = members[at - 1];
  // From the end of what stands before it, since nobody noted where its name begins.
  const start = before?.end ?? body.indexOf(0x7b) + 1;
  const text = `${before ? "," : ""}${JSON.stringify(newName)}:${JSON.stringify(value)}`;
  return spliceBody(body, [
    { start, end: (members[at] as MemberSpan).end, bytes: encoder.encode(text) },
  ]);
}

/** New bytes in the place of those from `start` up to but not including `end`. */
interface Edit {
  start: number;
  end: number;
  bytes: Uint8Array;
}

function spliceBody(body: Uint8Array, edits: readonly Edit[]): Uint8Array {
  const growth = edits.reduce((sum, edit) => sum + edit.bytes.length - (edit.end - edit.start), 0);
  const result = new Uint8Array(body.length + growth);
  let from = 0;
  let to = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    const kept = body.subarray(from, edit.start);
    result.set(kept, to);
    result.set(edit.bytes, to + kept.length);
    to += kept.length + edit.bytes.length;
    from = edit.end;
  }
  result.set(body.subarray(from), to);
  return result;
}
