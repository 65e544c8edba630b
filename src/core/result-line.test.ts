import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { joinParts } from "./line-parts.ts";
import { answerLine, errorLine, readAnswer, singleLine } from "./result-line.ts";
import { noUsage } from "./usage.ts";

const encoder = new TextEncoder();
const bytes = (text: string) => encoder.encode(text);
const text = (line: Uint8Array) => new TextDecoder("utf-8", { fatal: true }).decode(line);
const answered = (...given: Parameters<typeof answerLine>) => joinParts(answerLine(...given));
const ids = { lineId: "batch_req_1", requestId: "r1" };

describe("singleLine", () => {
  test("answers the same array when there is nothing to do", () => {
    for (const json of ['{"a":"é\\n\\u2028"}', '{"a":"Âà€\u2027\u202A\u0084"}', "", "{}"]) {
      const given = bytes(json);
      expect(singleLine(given)).toBe(given);
    }
  });

  test.each([
    ["line breaks between tokens", '{\n  "a": 1,\r\n  "b": 2\r}', '{   "a": 1,    "b": 2 }'],
    ["U+0085", '{"a":"x\u0085y"}', '{"a":"x\\u0085y"}'],
    ["U+2028", '{"a":"x\u2028y"}', '{"a":"x\\u2028y"}'],
    ["U+2029", '{"a":"x\u2029y"}', '{"a":"x\\u2029y"}'],
    ["all at once", '{\n"\u2028":"\u0085\u2029é"}', '{ "\\u2028":"\\u0085\\u2029é"}'],
    ["the last byte", '"\u2029"', '"\\u2029"'],
  ])("%s", (_what, json, line) => expect(text(singleLine(bytes(json)))).toBe(line));

  test("the result means the same and has no line break for any reader, whatever the JSON", () => {
    const strings = fc.string({
      unit: fc.constantFrom("a", "\n", "\r", "\u0085", "\u2028", "\u2029", "é", "😀", "\uFEFF"),
    });
    fc.assert(
      fc.property(fc.array(fc.dictionary(strings, strings)), fc.nat(2), (value, spaces) => {
        const json = JSON.stringify(value, null, spaces);
        const line = text(singleLine(bytes(json)));
        expect(line).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
        expect(JSON.parse(line)).toEqual(JSON.parse(json));
      }),
    );
  });

  test("an answer of many megabytes", () => {
    const json = JSON.stringify({ a: "\u2028x".repeat(500_000) });
    expect(text(singleLine(bytes(json)))).toBe(json.replaceAll("\u2028", "\\u2028"));
  });
});

describe("readAnswer", () => {
  test("reads usage and model of a whole answer", () => {
    const body = { model: "m", usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } };
    expect(readAnswer(bytes(JSON.stringify(body)))).toEqual({
      json: true,
      isOneLine: true,
      model: "m",
      usage: { ...noUsage(), inputTokens: 1, outputTokens: 2, totalTokens: 3 },
      errorCode: null,
    });
  });

  test.each([
    ["code and type", { code: "rate_limit_exceeded", type: "requests" }, "rate_limit_exceeded"],
    ["a type only", { type: "insufficient_quota" }, "insufficient_quota"],
    ["a null code", { code: null, type: "insufficient_quota" }, "insufficient_quota"],
    ["an empty code", { code: "", type: "t" }, "t"],
    ["a code that is a number", { code: 404, type: "NotFoundError" }, "NotFoundError"],
    ["neither", {}, null],
    ["a code longer than any name", { code: "c".repeat(513), type: "t" }, "t"],
    ["a code as long as a name may be", { code: "c".repeat(512) }, "c".repeat(512)],
    ["an error that is text", "boom", null],
    ["no error", undefined, null],
    ["a null error", null, null],
  ])("the error code of an error with %s", (_what, error, errorCode) => {
    expect(readAnswer(bytes(JSON.stringify({ error }))).errorCode).toBe(errorCode);
  });

  test.each([
    ["a model that is no text", '{"model":7}'],
    ["an empty model", '{"model":""}'],
    ["a list", "[1]"],
    ["a model longer than any name", JSON.stringify({ model: "m".repeat(513) })],
  ])("%s: no model", (_what, body) => {
    expect(readAnswer(bytes(body))).toEqual({
      json: true,
      isOneLine: true,
      usage: noUsage(),
      model: null,
      errorCode: null,
    });
  });

  test.each(["null", "17", '"text"', "true"])("%s is JSON without anything to read", (body) => {
    expect(readAnswer(bytes(body))).toEqual({
      json: true,
      isOneLine: true,
      usage: null,
      model: null,
      errorCode: null,
    });
  });

  test.each([
    ["an answer on several lines", '{\n"a": 1}'],
    ["an answer with a carriage return", '{\r"a": 1}'],
    ["an answer with what some readers take for a line break", '{"a": "\u2028"}'],
    ["an answer with anything that is not ASCII", '{"a": "é"}'],
  ])("%s is not known to be one line", (_what, body) => {
    expect(readAnswer(bytes(body))).toMatchObject({ json: true, isOneLine: false });
  });

  test.each([
    ["nothing", bytes("")],
    ["a page", bytes("<html>")],
    ["half an object", bytes('{"a":')],
    ["invalid UTF-8", Uint8Array.of(0x22, 0xc3, 0x28, 0x22)],
    ["UTF-8 cut off", bytes('"é').subarray(0, 2)],
    ["a byte order mark", bytes("\uFEFF{}")],
    ["more than could be held in memory", bytes(`[${"[],".repeat(1_000_000)}[]]`)],
    ["another encoding", new Uint8Array(Uint16Array.of(0x7b, 0x7d).buffer)],
  ])("%s is not taken for JSON", (_what, body) => {
    expect(readAnswer(body).json).toBe(false);
    // What was wrong with one answer has no bearing on the next.
    expect(readAnswer(bytes('"é"')).json).toBe(true);
  });
});

describe("answerLine", () => {
  const answer = (status: number, body: string | Uint8Array) => {
    const given = typeof body === "string" ? bytes(body) : body;
    return [{ status, body: given }, readAnswer(given)] as const;
  };

  test("splices the answer's bytes in as they came", () => {
    const line = text(answered(ids, bytes('"\\u0061-1"'), ...answer(200, '{"x": 1.50,"y":"é"}')));
    expect(line).toBe(
      '{"id": "batch_req_1", "custom_id": "\\u0061-1", "response": {"status_code": 200, ' +
        '"request_id": "r1", "body": {"x": 1.50,"y":"é"}}, "error": null}\n',
    );
  });

  test("an answer and a custom_id with line breaks are one line", () => {
    const line = text(answered(ids, bytes('"a\u2028"'), ...answer(400, '{\n"b":\r\n"\u0085"}')));
    expect(line.slice(0, -1)).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
    expect(JSON.parse(line)).toEqual({
      id: "batch_req_1",
      custom_id: "a\u2028",
      response: { status_code: 400, request_id: "r1", body: { b: "\u0085" } },
      error: null,
    });
  });

  test.each([
    ["a page", "<h1>\nBad \u2028gateway</h1>", "<h1>\nBad \u2028gateway</h1>"],
    ["invalid UTF-8", Uint8Array.of(0x61, 0xff, 0x62), "a\uFFFDb"],
    ["nothing", "", ""],
    ["a long one", "é".repeat(1_000), "é".repeat(250)],
  ])("a body that is not JSON is wrapped: %s", (_what, body, excerpt) => {
    const line = text(answered(ids, bytes('"a"'), ...answer(502, body)));
    expect(line.slice(0, -1)).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
    expect(JSON.parse(line)).toMatchObject({
      response: {
        status_code: 502,
        body: {
          error: {
            message: `The upstream answered 502 with a body that is not valid JSON. It begins: ${excerpt}`,
            type: "upstream_error",
            param: null,
            code: "invalid_upstream_answer",
          },
        },
      },
      error: null,
    });
  });

  test("its members stand in the contract's order", () => {
    const line = JSON.parse(text(answered(ids, bytes('"a"'), ...answer(200, "{}")))) as object;
    expect(Object.keys(line)).toEqual(["id", "custom_id", "response", "error"]);
  });
});

describe("errorLine", () => {
  test("is one line with the error, its members in the contract's order", () => {
    const error = { message: 'It said "no"\u2028é', code: "request_timeout", extra: 1 };
    const line = text(errorLine("batch_req_2", bytes('"a\u2029"'), error));
    expect(line.slice(0, -1)).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
    expect(line.endsWith("}\n")).toBe(true);
    expect(JSON.parse(line)).toEqual({
      id: "batch_req_2",
      custom_id: "a\u2029",
      response: null,
      error: { code: "request_timeout", message: 'It said "no"\u2028é' },
    });
  });

  test("has the spacing of the recorded files", () => {
    const line = errorLine("x", bytes('"a"'), { code: "c", message: "m" });
    expect(text(line)).toBe(
      '{"id": "x", "custom_id": "a", "response": null, "error": {"code":"c","message":"m"}}\n',
    );
  });
});
