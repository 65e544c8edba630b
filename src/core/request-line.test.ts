// What stands where in a line that may be sent. What is refused: input-validator.test.ts.
import { expect, test } from "vitest";
import { findEndpoint } from "./endpoints.ts";
import { CUSTOM_ID_MAX_BYTES } from "./limits.ts";
import { describeJson, excerpt, readRequestLine, type RequestLine } from "./request-line.ts";

function read(text: string, path = "/v1/chat/completions"): RequestLine {
  const endpoint = findEndpoint(path);
  if (!endpoint) throw new Error(`no endpoint ${path}`);
  const result = readRequestLine(new TextEncoder().encode(text), 1, endpoint);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.line;
}

function at(text: string, span: { start: number; end: number } | undefined): string | undefined {
  return (
    span && new TextDecoder().decode(new TextEncoder().encode(text).subarray(span.start, span.end))
  );
}

test("says where the custom_id, the body and its members stand, in bytes", () => {
  const body = '{ "messages": [{"role":"user","content":"é"}], "model":"m" }';
  const text = ` {"method":"POST","custom_id":"é-1", "url":"/v1/chat/completions","body":${body}}\r`;
  const line = read(text);
  expect(line).toMatchObject({ customId: "é-1", model: "m", inputCount: 0 });
  expect(at(text, line.customIdSpan)).toBe('"é-1"');
  expect(at(text, line.bodySpan)).toBe(body);
  expect(line.bodyMembers.map((member) => [member.name, at(text, member)])).toEqual([
    ["messages", '[{"role":"user","content":"é"}]'],
    ["model", '"m"'],
  ]);
});

test("decodes escapes in the custom_id, and keeps the place of what the file has", () => {
  const text = `{"custom_id":"\\u0061\\"","method":"POST","url":"/v1/moderations","body":{"input":"x"}}`;
  const line = read(text, "/v1/moderations");
  expect([line.customId, at(text, line.customIdSpan)]).toEqual(['a"', '"\\u0061\\""']);
});

test("finds members whose names are written with escapes", () => {
  const text = `{"custom\\u005fid":"a","method":"POST","url":"/v1/moderations","\\u0062ody":{"input":"x"}}`;
  expect(at(text, read(text, "/v1/moderations").bodySpan)).toBe('{"input":"x"}');
});

test.each([
  [
    '{"images":"x"}',
    "invalid_type",
    "body.images",
    "expected an array of objects, but got a string",
  ],
  [
    '{"images":[{}]}',
    "missing_required_parameter",
    "body.images[0]",
    "'body.images[0].file_id' or",
  ],
  ['{"images":[]}', "invalid_value", "body.images", "1 to 16 elements"],
])("references to files are checked: %s", (members, code, param, words) => {
  const body = { model: "m", prompt: "p", ...(JSON.parse(members) as object) };
  const url = "/v1/images/edits";
  const text = JSON.stringify({ custom_id: "a", method: "POST", url, body });
  const result = readRequestLine(new TextEncoder().encode(text), 7, findEndpoint(url)!);
  const message = expect.stringContaining(words) as string;
  expect(result).toEqual({ ok: false, error: { code, param, message, line: 7 } });
});

test("unknown members are the backend's to judge", () => {
  const text = `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x","y":1},"z":2}`;
  expect(read(text, "/v1/embeddings").bodyMembers.map(({ name }) => name)).toEqual([
    "model",
    "input",
    "y",
  ]);
});

test.each([
  ["a missing model", "{}", ""],
  ["a null model", '{"model":null}', ""],
  ["an empty model", '{"model":""}', ""],
  ["a model", '{"model":"m"}', "m"],
])("where none is needed, %s is fine", (_what, members, model) => {
  const body = members.replace("}", `${members === "{}" ? "" : ","}"input":"x"}`);
  const text = `{"custom_id":"a","method":"POST","url":"/v1/moderations","body":${body}}`;
  expect(read(text, "/v1/moderations").model).toBe(model);
});

test("what a backend may like or not is passed on: an empty prompt, stream: false", () => {
  const text = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[],"stream":false}}`;
  expect(read(text).model).toBe("m");
});

test.each([
  ['"text"', 1],
  ["[]", 0],
  ['["a","b","c"]', 3],
  ["[1,2,3]", 1],
  ["[[1,2],[3]]", 2],
])("the input %s counts as %d embedding inputs", (input, count) => {
  const text = `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":${input}}}`;
  expect(read(text, "/v1/embeddings").inputCount).toBe(count);
});

test("inputs of other endpoints are not embedding inputs", () => {
  const text = `{"custom_id":"a","method":"POST","url":"/v1/moderations","body":{"input":["a","b"]}}`;
  expect(read(text, "/v1/moderations").inputCount).toBe(0);
});

test("a custom_id may be as long as the plan can note", () => {
  const customId = "x".repeat(CUSTOM_ID_MAX_BYTES - 2);
  const text = `{"custom_id":"${customId}","method":"POST","url":"/v1/moderations","body":{"input":"x"}}`;
  expect(read(text, "/v1/moderations").customId).toBe(customId);
});

test.each([
  [null, "null"],
  [[], "an array"],
  [{}, "an object"],
  [1, "an integer"],
  [1.5, "a decimal"],
  [true, "a boolean"],
  ["x", "a string"],
])("%j is called %s", (value, name) => expect(describeJson(value)).toBe(name));

test("an excerpt is the whole of a short text, and the beginning of a long one, always well formed", () => {
  expect(excerpt("short")).toBe("short");
  expect(excerpt("x".repeat(300))).toBe(`${"x".repeat(200)}…`);
  expect(excerpt(`${"x".repeat(199)}😀`)).toBe(`${"x".repeat(199)}\uFFFD…`);
});
