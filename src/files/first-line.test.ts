import { expect, test } from "vitest";
import { FirstLine } from "./first-line.ts";

const mebibyte = 1024 * 1024;

function isJson(content: string | Uint8Array, chunkBytes = Number.POSITIVE_INFINITY): boolean {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  const firstLine = new FirstLine();
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    firstLine.take(bytes.subarray(start, Math.min(start + chunkBytes, bytes.length)));
  }
  return firstLine.isJson();
}

const cases: [string, string | Uint8Array, boolean][] = [
  ["one object", '{"a":1}\n', true],
  ["no newline at the end", '{"a":1}', true],
  ["carriage return and newline", '{"a":1}\r\n{"b":2}\r\n', true],
  ["a byte order mark", '\uFEFF{"a":1}\n', true],
  ["blank lines first", ' \n\t\r\n\n{"a":1}\n', true],
  ["characters beyond ASCII", '{"a":"é😀"}\n', true],
  ["a bad second line", '{"a":1}\nnot JSON\n', true],
  ["nothing", "", false],
  ["only blank lines", "\n \n\r\n", false],
  ["only a byte order mark", "\uFEFF", false],
  ["a bad first line", 'not JSON\n{"a":1}\n', false],
  ["JSON over several lines", '{\n"a": 1\n}\n', false],
  ["bytes that are not UTF-8", Uint8Array.of(0x22, 0xff, 0x22, 0x0a), false],
];

test.each(cases)("%s", (_name, content, expected) => {
  expect(isJson(content)).toBe(expected);
});

test.each(cases)("%s, byte by byte", (_name, content, expected) => {
  expect(isJson(content, 1)).toBe(expected);
});

test("a first line of just the size that is kept is parsed", () => {
  const frame = '{"a":""}';
  const line = `{"a":"${"x".repeat(mebibyte - frame.length)}"}`;
  expect(isJson(`${line}\n`, 1000)).toBe(true);
  expect(isJson(`${line.slice(0, -1)}]\n`, 1000)).toBe(false);
});

test("a longer first line is taken for JSON when it begins as an object", () => {
  expect(isJson(`{"a":"${"é".repeat(mebibyte)}"}\n`, 65_537)).toBe(true);
  expect(isJson(`x${"é".repeat(mebibyte)}\n`, 65_537)).toBe(false);
});

test("what it keeps is its own", () => {
  const firstLine = new FirstLine();
  const chunk = Buffer.from('{"a":');
  firstLine.take(chunk);
  chunk.fill(0);
  firstLine.take(Buffer.from("1}\n"));
  expect(firstLine.isJson()).toBe(true);
});
