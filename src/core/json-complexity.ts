// Tells JSON that would take far more memory as objects than as text, before it is parsed: megabytes
// of brackets cost a hundred times their size, which one client could use against all others.

/** Arrays and objects that one text may hold. */
export const MAX_PARTS = 1_000_000;

const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;

/** Whether the text has more than MAX_PARTS opening brackets and braces, those in strings included. */
export function isTooComplex(json: Uint8Array): boolean {
  // Nearly all lines are too short for that, and cost nothing here.
  if (json.length <= MAX_PARTS) return false;
  let parts = 0;
  for (const byte of json) {
    if (byte === OPEN_BRACKET || byte === OPEN_BRACE) parts++;
  }
  return parts > MAX_PARTS;
}
