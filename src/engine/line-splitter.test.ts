import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter, type SplitLine } from "./line-splitter.ts";

type Line = [number: number, start: number, text: string | null];

function* chunked(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let start = 0;
  for (const size of sizes) {
    yield Uint8Array.from(bytes.subarray(start, start + size));
    start += size;
  }
  if (start < bytes.length) yield Uint8Array.from(bytes.subarray(start));
}

function linesOf(
  content: string | Uint8Array,
  { sizes = [], maxLineBytes = 1_000 }: { sizes?: number[]; maxLineBytes?: number } = {},
): Line[] {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  const splitter = new LineSplitter(maxLineBytes);
  const lines: Line[] = [];
  const take = (found: Iterable<SplitLine>) => {
    for (const { number, start, bytes: line } of found) {
      lines.push([number, start, line && Buffer.from(line).toString("latin1")]);
    }
  };
  for (const chunk of chunked(bytes, sizes)) {
    take(splitter.split(chunk));
    // Whoever gave it may use its memory for something else.
    chunk.fill(0x7a);
  }
  take(splitter.end());
  return lines;
}

const cases: [what: string, content: string, lines: Line[]][] = [
  ["nothing", "", []],
  ["one line", "a\n", [[1, 0, "a"]]],
  [
    "no newline at the end",
    "a\nb",
    [
      [1, 0, "a"],
      [2, 2, "b"],
    ],
  ],
  [
    "empty lines, counted and left out",
    "\n\na\n\n\nb\n\n",
    [
      [3, 2, "a"],
      [6, 6, "b"],
    ],
  ],
  [
    "carriage returns are left to the reader",
    "a\r\nb\r\n",
    [
      [1, 0, "a\r"],
      [2, 3, "b\r"],
    ],
  ],
  [
    "a byte order mark",
    "\uFEFFa\nb\n",
    [
      [1, 3, "a"],
      [2, 5, "b"],
    ],
  ],
  ["nothing but a byte order mark", "\uFEFF", []],
  ["a byte order mark before an empty line", "\uFEFF\na", [[2, 4, "a"]]],
  ["empty lines that end in carriage return and newline", "\r\n\r\na\r\n\r", [[3, 4, "a\r"]]],
  [
    "one later on is part of its line",
    "a\n\uFEFFb\n",
    [
      [1, 0, "a"],
      [2, 2, "\u00ef\u00bb\u00bfb"],
    ],
  ],
  ["half of one is part of its line", "é", [[1, 0, "\u00c3\u00a9"]]],
];

test.each(cases)("%s", (_what, content, lines) => {
  expect(linesOf(content)).toEqual(lines);
});

test.each(cases)("%s, byte by byte", (_what, content, lines) => {
  const sizes = Array.from(Buffer.from(content), () => 1);
  expect(linesOf(content, { sizes })).toEqual(lines);
});

test("however the bytes come, the lines are the same, and stand where they say", () => {
  const unit = fc.constantFrom("a", "\n", "\r", "é", "\uFEFF", "xxxx");
  fc.assert(
    fc.property(
      fc.string({ unit, maxLength: 30 }),
      fc.array(fc.nat(5)),
      fc.integer({ min: 1, max: 8 }),
      (content, sizes, maxLineBytes) => {
        const bytes = Buffer.from(content);
        const lines = linesOf(bytes, { sizes, maxLineBytes });
        expect(lines).toEqual(linesOf(bytes, { maxLineBytes }));
        const mark = bytes.indexOf("\uFEFF") === 0 ? 3 : 0;
        const texts = bytes.toString("latin1").split("\n");
        if (texts.at(-1) === "") texts.pop();
        const isFull = (text: string, at: number) =>
          !["", "\r"].includes(at === 0 && text.length <= maxLineBytes ? text.slice(mark) : text);
        const numbers = texts.flatMap((text, at) => (isFull(text, at) ? [at + 1] : []));
        expect(lines.map(([number]) => number)).toEqual(numbers);
        for (const [number, start, text] of lines) {
          const whole = texts[number - 1] as string;
          expect(text === null).toBe(whole.length > maxLineBytes);
          if (text === null) continue;
          expect(text).toBe(number === 1 ? whole.slice(mark) : whole);
          expect(bytes.toString("latin1", start, start + text.length)).toBe(text);
        }
      },
    ),
  );
});

test("a line longer than allowed is told, its bytes are not kept, and the next one is whole", () => {
  const content = `a\n${"x".repeat(11)}\nb\n${"y".repeat(10)}\n${"z".repeat(50)}`;
  const lines: Line[] = [
    [1, 0, "a"],
    [2, 2, null],
    [3, 14, "b"],
    [4, 16, "yyyyyyyyyy"],
    [5, 27, null],
  ];
  expect(linesOf(content, { maxLineBytes: 10 })).toEqual(lines);
  expect(linesOf(content, { maxLineBytes: 10, sizes: [4, 4, 4, 4, 4, 30] })).toEqual(lines);
});
