import fc from "fast-check";
import { expect, test } from "vitest";
import { overlayBody, replaceMember } from "./body-overlay.ts";
import { type MemberSpan, readMembers, repeatedMember } from "./json-members.ts";

function overlaid(body: string, changes: Record<string, unknown>): string {
  return new TextDecoder().decode(overlayBody(new TextEncoder().encode(body), changes));
}

const cases: [what: string, body: string, changes: Record<string, unknown>, result: string][] = [
  ["replaces a value", '{"model":"a","n":1}', { model: "b" }, '{"model":"b","n":1}'],
  [
    "keeps all other bytes",
    '{ "n" :1.50,\t"model": "a" }',
    { model: "b" },
    '{ "n" :1.50,\t"model": "b" }',
  ],
  ["adds at the front what is not there", '{"n":1}', { model: "b" }, '{"model":"b","n":1}'],
  ["adds to an empty object", " {} ", { a: 1, b: 2 }, ' {"b":2,"a":1} '],
  ["finds an escaped name", '{"mod\\u0065l":"a"}', { model: "b" }, '{"mod\\u0065l":"b"}'],
  [
    "leaves members of members",
    '{"x":{"model":"a"}}',
    { model: "b" },
    '{"model":"b","x":{"model":"a"}}',
  ],
  ["takes a longer value", '{"a":1,"b":2}', { a: [1, { c: "é" }] }, '{"a":[1,{"c":"é"}],"b":2}'],
  ["takes a shorter value", '{"a":{"long":"value"},"b":2}', { a: null }, '{"a":null,"b":2}'],
  ["changes in any order", '{"a":1,"b":2}', { b: 3, a: 4, c: 5 }, '{"c":5,"a":4,"b":3}'],
  ["changes nothing", '{"a":1}', {}, '{"a":1}'],
  ["escapes the name it adds", "{}", { 'a"b': 1 }, '{"a\\"b":1}'],
];

test.each(cases)("%s", (_what, body, changes, result) => {
  expect(overlaid(body, changes)).toBe(result);
});

/** The members by name, as JSON. */
function membersOf(bytes: Uint8Array): Map<string, string> {
  const members = readMembers(bytes);
  expect(repeatedMember(members)).toBeUndefined();
  const json = ({ start, end }: MemberSpan) => new TextDecoder().decode(bytes.subarray(start, end));
  return new Map(members.map((member) => [member.name, json(member)]));
}

test("the result has the changes, and of the rest what it had, for any object and any changes", () => {
  const names = fc.oneof(fc.constantFrom("a", "model", "é", '"', "\\"), fc.string());
  const objects = fc.dictionary(names, fc.jsonValue());
  fc.assert(
    fc.property(objects, objects, fc.nat(2), (object, changes, spaces) => {
      const body = new TextEncoder().encode(JSON.stringify(object, null, spaces));
      const expected = membersOf(body);
      for (const [name, value] of Object.entries(changes)) {
        expected.set(name, JSON.stringify(value));
      }
      expect(membersOf(overlayBody(body, changes))).toEqual(expected);
    }),
  );
});

test.each([
  ['{"a":1,"file":{"x":","},"b":2}', '{"a":1,"url":"é","b":2}'],
  [' { "f\\u0069le" : [1] , "b": 2 } ', ' {"url":"é" , "b": 2 } '],
  ['{"a": "}" , "file":1}', '{"a": "}","url":"é"}'],
  ['{"file":null}', '{"url":"é"}'],
])("a member of %s takes another name and value", (body, result) => {
  const bytes = replaceMember(new TextEncoder().encode(body), "file", {
    newName: "url",
    value: "é",
  });
  expect(new TextDecoder().decode(bytes)).toBe(result);
});

test("the body given is left as it is", () => {
  const body = new TextEncoder().encode('{"a":1}');
  overlayBody(body, { a: 2, b: 3 });
  expect(new TextDecoder().decode(body)).toBe('{"a":1}');
});
