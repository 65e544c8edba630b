import { expect, test } from "vitest";
import { contentDisposition } from "./content-disposition.ts";

test.each([
  ["in.jsonl", 'attachment; filename="in.jsonl"'],
  ["two words (1).jsonl", 'attachment; filename="two words (1).jsonl"'],
  ["", 'attachment; filename=""'],
  ['a"b.jsonl', `attachment; filename="a_b.jsonl"; filename*=UTF-8''a%22b.jsonl`],
  ["100%41.jsonl", `attachment; filename="100_41.jsonl"; filename*=UTF-8''100%2541.jsonl`],
  ["it's.jsonl", 'attachment; filename="it\'s.jsonl"'],
  ["résumé.jsonl", `attachment; filename="r_sum_.jsonl"; filename*=UTF-8''r%C3%A9sum%C3%A9.jsonl`],
  [
    "été's(*).jsonl",
    `attachment; filename="_t_'s(*).jsonl"; filename*=UTF-8''%C3%A9t%C3%A9%27s%28%2A%29.jsonl`,
  ],
  ["a\r\nset-cookie: x=1", 'attachment; filename="a__set-cookie: x=1"'],
  ["../..\\etc/passwd", 'attachment; filename=".._.._etc_passwd"'],
  ["a\u0000\u007f\u0085b", 'attachment; filename="a___b"'],
  ["txt.\u202Elnosj.exe", 'attachment; filename="txt._lnosj.exe"'],
  ["😀\uD800", `attachment; filename="__"; filename*=UTF-8''%F0%9F%98%80%EF%BF%BD`],
])("%j", (filename, header) => {
  expect(contentDisposition(filename)).toBe(header);
});
