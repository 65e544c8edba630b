// Bytes changed at random, as a seed repeats it: bits turned over, pieces lost, doubled, and pieces put in
// that have a meaning to some parser.
import type { Random } from "./random.ts";

const PIECES = [
  "\0",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\n",
  "\r",
  "\r\n",
  " ",
  "-",
  "--",
  "\uFEFF",
  "null",
  "true",
  "1e400",
  "-0",
  "9007199254740993",
  '""',
  "{}",
  "[]",
  "\u0085",
  "\u2028",
  '"__proto__":',
  '"constructor":',
  '"toString"',
  "\\u0000",
  "\\ud800",
  "\\udc00",
  "[[[[[[[[",
].map((text) => Buffer.from(text));
const BROKEN_UTF8 = [
  [0xff],
  [0xc0, 0x80],
  [0xe2, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf5, 0x80, 0x80, 0x80],
];
const LONGEST_CUT = 16;
const MOST_CHANGES = 3;

type Change = (bytes: Buffer, at: number, random: Random) => Uint8Array[];

const changes: readonly Change[] = [
  (bytes, at, random) => {
    const turned = Buffer.from([(bytes[at] ?? 0) ^ (1 << pick(random, 8))]);
    return [bytes.subarray(0, at), turned, bytes.subarray(at + 1)];
  },
  (bytes, at, random) => [
    bytes.subarray(0, at),
    bytes.subarray(at + 1 + pick(random, LONGEST_CUT)),
  ],
  (bytes, at, random) => [
    bytes.subarray(0, at + 1 + pick(random, LONGEST_CUT)),
    bytes.subarray(at),
  ],
  (bytes, at, random) => [bytes.subarray(0, at), oneOf(random, PIECES), bytes.subarray(at)],
  (bytes, at, random) => [bytes.subarray(0, at), oneOf(random, PIECES), bytes.subarray(at + 1)],
  (bytes, at, random) => {
    return [bytes.subarray(0, at), Buffer.from(oneOf(random, BROKEN_UTF8)), bytes.subarray(at)];
  },
];

/** A whole number from 0 up to `below`, exclusive. */
function pick(random: Random, below: number): number {
  return Math.floor(random.next() * below);
}

export function oneOf<T>(random: Random, items: readonly T[]): T {
  return items[pick(random, items.length)] as T;
}

/** A copy with one to three changes. */
export function mutated(bytes: Uint8Array, random: Random): Buffer {
  let result = Buffer.from(bytes);
  for (let left = 1 + pick(random, MOST_CHANGES); left > 0; left--) {
    result = Buffer.concat(oneOf(random, changes)(result, pick(random, result.length), random));
  }
  return result;
}
