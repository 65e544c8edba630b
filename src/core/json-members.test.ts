import fc from "fast-check";
import { expect, test } from "vitest";
import { readMembers, repeatedMember } from "./json-members.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The members as [name, JSON of the value], the way they stand in the text; the same with and without it. */
function membersOf(text: string): [string, string][] {
  const bytes = encoder.encode(text);
  const members = readMembers(bytes);
  expect(readMembers(bytes, undefined, text)).toEqual(members);
  return members.map((member) => [
    member.name,
    decoder.decode(bytes.subarray(member.start, member.end)),
  ]);
}

const cases: [name: string, text: string, members: [string, string][]][] = [
  ["no members", "{}", []],
  ["no members, but spaces", " { \t\r\n} ", []],
  [
    "one of each kind of value",
    '{"a":1,"b":"x","c":null,"d":true,"e":[],"f":{}}',
    [
      ["a", "1"],
      ["b", '"x"'],
      ["c", "null"],
      ["d", "true"],
      ["e", "[]"],
      ["f", "{}"],
    ],
  ],
  [
    "white space everywhere",
    ' {\n "a" :\t-1.5e+3 ,\r\n"b"\n:\n[ 1 , 2 ]\n}\n',
    [
      ["a", "-1.5e+3"],
      ["b", "[ 1 , 2 ]"],
    ],
  ],
  ["a number at the end", '{"a":12}', [["a", "12"]]],
  [
    "brackets and quotes inside strings",
    '{"a":"}],{\\"","b":{"c":"]}"},"d":["\\\\"]}',
    [
      ["a", '"}],{\\""'],
      ["b", '{"c":"]}"}'],
      ["d", '["\\\\"]'],
    ],
  ],
  [
    "members of members are not its own",
    '{"a":{"b":{"c":[{"d":1}]}},"e":2}',
    [
      ["a", '{"b":{"c":[{"d":1}]}}'],
      ["e", "2"],
    ],
  ],
  [
    "escapes in names",
    '{"\\u0061\\"\\\\":1,"\\ud83d\\ude00":2,"é😀":3}',
    [
      ['a"\\', "1"],
      ["😀", "2"],
      ["é😀", "3"],
    ],
  ],
  [
    "a name that is there twice",
    '{"a":1,"\\u0061":2}',
    [
      ["a", "1"],
      ["a", "2"],
    ],
  ],
  ["an empty name", '{"":0}', [["", "0"]]],
];

test.each(cases)("%s", (_name, text, members) => expect(membersOf(text)).toEqual(members));

/** A string as JSON, some of its characters as escapes. */
function spelled(text: string, escaped: readonly boolean[]): string {
  const units = Array.from({ length: text.length }, (_, at) => {
    const code = text.charCodeAt(at).toString(16).padStart(4, "0");
    return escaped[at] ? `\\u${code}` : JSON.stringify(text[at]).slice(1, -1);
  });
  return `"${units.join("")}"`;
}

test("finds every member of any object, however it is spelled and spaced", () => {
  const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\r", "\n"), maxLength: 2 });
  const member = fc.record({
    name: fc.string({ unit: "grapheme-ascii", maxLength: 6 }),
    escaped: fc.array(fc.boolean(), { maxLength: 6 }),
    json: fc.jsonValue().map((value) => JSON.stringify(value)),
    spaces: fc.tuple(space, space, space, space),
  });
  fc.assert(
    fc.property(fc.array(member), space, (members, around) => {
      const parts = members.map(({ name, escaped, json, spaces: [a, b, c, d] }) => {
        return `${a}${spelled(name, escaped)}${b}:${c}${json}${d}`;
      });
      const text = `${around}{${around}${parts.join(",")}${around}}${around}`;
      expect(membersOf(text)).toEqual(members.map(({ name, json }) => [name, json]));
    }),
  );
});

const ten = Array.from({ length: 10 }, (_, n) => `"m${n}":${n}`).join();

test.each([
  ['{"a":1,"b":2}', undefined],
  ['{"a":1}', undefined],
  ["{}", undefined],
  ['{"a":1,"b":2,"\\u0062":3,"a":4}', "b"],
  [`{${ten}}`, undefined],
  [`{${ten},"m3":3,"m2":2}`, "m3"],
])("the name that stands twice in %s is %s", (text, name) => {
  const bytes = encoder.encode(text);
  expect(repeatedMember(readMembers(bytes))).toBe(name);
});

test("the members of one member are read along with the others where that is asked for", () => {
  const text = '{"a":{"x":1},"b": { "y":{"b":{}}, "z":"}" } ,"c":3,"b":7,"b":{}}';
  const bytes = encoder.encode(text);
  const read = readMembers(bytes, "b");
  expect(read.map(({ name, members }) => [name, members?.map((member) => member.name)])).toEqual([
    ["a", undefined],
    ["b", ["y", "z"]],
    ["c", undefined],
    ["b", undefined],
    ["b", []],
  ]);
  expect(read.map(({ start, end }) => text.slice(start, end))).toEqual([
    '{"x":1}',
    '{ "y":{"b":{}}, "z":"}" }',
    "3",
    "7",
    "{}",
  ]);
});

test("strings of any length end at their own quote", () => {
  const unit = fc.constantFrom("x", '\\"', "\\\\", "é");
  const inside = fc.string({ unit, minLength: 10, maxLength: 50 });
  fc.assert(
    fc.property(inside, inside, (one, two) => {
      const text = `{"a":"${one}","b":["${two}"],"c":1}`;
      expect(membersOf(text)).toEqual([
        ["a", `"${one}"`],
        ["b", `["${two}"]`],
        ["c", "1"],
      ]);
    }),
  );
});
