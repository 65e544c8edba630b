// Every refusal of a batch input file, one row for each case, and what is tolerated.
import { expect, test, vi } from "vitest";
import { findEndpoint } from "./endpoints.ts";
import { type AcceptedLine, InputValidator, type InputRules } from "./input-validator.ts";
import { MAX_PARTS } from "./json-complexity.ts";
import { CUSTOM_ID_MAX_BYTES } from "./limits.ts";

interface Setup {
  endpoint?: string;
  limits?: Partial<InputRules["limits"]>;
  allowSeveralModels?: boolean;
  served?: string[];
}

function rules(setup: Setup = {}): InputRules {
  const endpoint = findEndpoint(setup.endpoint ?? "/v1/chat/completions");
  if (!endpoint) throw new Error(`no endpoint ${setup.endpoint}`);
  const served = setup.served ?? ["m", "n"];
  return {
    endpoint,
    limits: {
      linesPerBatch: 50,
      lineSizeBytes: 200_000,
      embeddingInputsPerBatch: 50,
      validationErrors: 10,
      ...setup.limits,
    },
    allowSeveralModels: setup.allowSeveralModels ?? false,
    serves: (model) => model === "" || served.includes(model),
    servedModels: served,
  };
}

/** Feeds lines as the planner does: long ones refused, suspicions confirmed. */
function check(lines: readonly (string | Uint8Array)[], setup: Setup = {}): InputValidator {
  const checked = new InputValidator(rules(setup));
  const accepted: string[] = [];
  const limit = setup.limits?.lineSizeBytes ?? 200_000;
  for (const [at, line] of lines.entries()) {
    if (checked.stopped) break;
    const bytes = typeof line === "string" ? new TextEncoder().encode(line) : line;
    if (bytes.length > limit) {
      checked.refuseLongLine(at + 1);
      continue;
    }
    const found = checked.check(bytes, at + 1);
    if (!found) continue;
    accepted.push(found.line.customId);
    if (found.suspects.some((index) => accepted[index] === found.line.customId)) {
      checked.repeatCustomId(found.line.customId, at + 1);
    }
  }
  checked.end();
  return checked;
}

const messages = [{ role: "user", content: "Hello" }];

/** A good chat line with some members changed; undefined takes one away. */
function chat(id: string, changes: object = {}, body: object = {}): string {
  return JSON.stringify({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "m", messages, ...body },
    ...changes,
  });
}

function embedding(id: string, input: unknown): string {
  const body = { model: "m", input };
  return JSON.stringify({ custom_id: id, method: "POST", url: "/v1/embeddings", body });
}

const good = chat("good");
type Refusal = [code: string, param: string | null, line: number | null, message: string];
type Case = [name: string, lines: (string | Uint8Array)[], errors: Refusal[], setup?: Setup];

const wrongType = (line: number, param: string | null, expected: string, got: string): Refusal => {
  const what = param === null ? "this line" : `'${param}'`;
  const message = `Invalid type for ${what}: expected ${expected}, but got ${got} instead.`;
  return ["invalid_type", param, line, message];
};
const notJson = (line: number): Refusal => {
  return ["invalid_json_line", null, line, "This line is not parseable as valid JSON."];
};
const missing = (line: number, name: string): Refusal => {
  return ["missing_required_parameter", name, line, `Missing required parameter: '${name}'.`];
};
const wrongMethod = (got: string): Refusal => {
  const message = `Invalid method: ${got}. Only "POST" is supported in the Batch API.`;
  return ["invalid_method", "method", 1, message];
};
const wrongUrl: Refusal = [
  "invalid_url",
  "url",
  1,
  "The URL provided for this request does not match the batch endpoint.",
];
const required = (name: string): Refusal => {
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  return ["invalid_request", `body.${name}`, 1, `${title} parameter is required.`];
};
const streaming = (line: number, endpoint: string): Refusal => {
  const message = `${endpoint}: Streaming is not supported in the Batch API.`;
  return ["streaming_unsupported", "body.stream", line, message];
};
const twice = (member: string): Refusal => {
  const message = `The member '${member}' appears more than once. Each member must be given once.`;
  return ["duplicate_member", member, 1, message];
};
const duplicate = (line: number, id: string): Refusal => {
  const message = `The custom_id '${id}' for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.`;
  return ["duplicate_custom_id", "custom_id", line, message];
};
const mismatch = (line: number, model: string): Refusal => {
  const message = `The model '${model}' for this request does not match the rest of the batch. Each batch must contain requests for a single model.`;
  return ["mismatched_model", "body.model", line, message];
};
const unserved = (line: number, model: string, served: string): Refusal => {
  const message = `The provided model '${model}' is not supported by the Batch API. No upstream serves it for /v1/chat/completions; served: ${served}.`;
  return ["model_not_found", "body.model", line, message];
};
const empty: Refusal = [
  "empty_file",
  null,
  null,
  "The input file is empty. Please ensure that the batch contains at least one request.",
];
const tooMany = (code: string, param: string | null, what: string, limit: string): Refusal => {
  return [
    code,
    param,
    null,
    `The number of ${what} exceeds the maximum allowed value of ${limit}.`,
  ];
};

const longLines = { lineSizeBytes: 10_000_000 };
const tooComplex: Refusal = [
  "request_too_complex",
  null,
  1,
  "This line holds more than 1000000 arrays and objects. Expected at most that many.",
];

const embeddings = { endpoint: "/v1/embeddings" };
const deep = "[".repeat(100_000) + "]".repeat(100_000);
const manyModels = Array.from({ length: 23 }, (_, n) => `m${n}`);
const twentyModels = manyModels.slice(0, 20).map((name) => `'${name}'`);

const cases: Case[] = [
  // A line on its own.
  ["a line that is not JSON", ["{"], [notJson(1)]],
  ["a line that is not UTF-8", [good, Uint8Array.of(0x22, 0xff, 0x22)], [notJson(2)]],
  ["a byte order mark in the middle", [good, `\uFEFF${chat("a")}`], [notJson(2)]],
  ["a control byte", [good, "\u0000"], [notJson(2)]],
  ["two objects in a line", [chat("a") + chat("b")], [notJson(1)]],
  ["a line that is an array", ["[1]"], [wrongType(1, null, "an object", "an array")]],
  ["a line that is null", ["null"], [wrongType(1, null, "an object", "null")]],
  ["a line that is text", ['"x"'], [wrongType(1, null, "an object", "a string")]],
  ["a line that is a number", ["17"], [wrongType(1, null, "an object", "an integer")]],
  ["no custom_id", [good, chat("", { custom_id: undefined })], [missing(2, "custom_id")]],
  ["no method", [good, chat("a", { method: undefined })], [missing(2, "method")]],
  ["no url", [good, chat("a", { url: undefined })], [missing(2, "url")]],
  ["no body", [good, chat("a", { body: undefined })], [missing(2, "body")]],
  ["nothing that a line needs", ["{}"], [missing(1, "custom_id")]],
  [
    "a custom_id that is a number",
    [chat("", { custom_id: 7 })],
    [wrongType(1, "custom_id", "a string", "an integer")],
  ],
  [
    "a custom_id that is null",
    [chat("", { custom_id: null })],
    [wrongType(1, "custom_id", "a string", "null")],
  ],
  [
    "an empty custom_id",
    [chat("")],
    [
      [
        "empty_string",
        "custom_id",
        1,
        "Invalid 'custom_id': empty string. Expected a string with minimum length 1.",
      ],
    ],
  ],
  [
    "a custom_id longer than the plan can note",
    [chat("x".repeat(CUSTOM_ID_MAX_BYTES - 1))],
    [
      [
        "string_above_max_length",
        "custom_id",
        1,
        "Invalid 'custom_id': string too long. Expected at most 65535 bytes, but got 65536 instead.",
      ],
    ],
  ],
  ["another method", [chat("a", { method: "GET" })], [wrongMethod('"GET"')]],
  ["a method in lower case", [chat("a", { method: "post" })], [wrongMethod('"post"')]],
  ["a method that is null", [chat("a", { method: null })], [wrongMethod("null")]],
  [
    "a method nested too deeply to be quoted",
    [chat("a", { method: "?" }).replace('"?"', deep)],
    [wrongMethod("an array")],
    { limits: { lineSizeBytes: 1_000_000 } },
  ],
  [
    "more arrays and objects than could be held in memory",
    [chat("a", {}, { x: "?" }).replace('"?"', `[${"[],".repeat(MAX_PARTS)}[]]`)],
    [tooComplex],
    { limits: longLines },
  ],
  ["megabytes of brackets", ["[".repeat(2 * MAX_PARTS)], [tooComplex], { limits: longLines }],
  ["the url of another endpoint", [chat("a", { url: "/v1/embeddings" })], [wrongUrl]],
  ["a url with its host", [chat("a", { url: "http://x/v1/chat/completions" })], [wrongUrl]],
  ["a url that is not text", [chat("a", { url: ["/v1/chat/completions"] })], [wrongUrl]],
  ["a null body", [chat("a", { body: null })], [wrongType(1, "body", "an object", "null")]],
  ["a list as body", [chat("a", { body: [] })], [wrongType(1, "body", "an object", "an array")]],
  ["text as body", [chat("a", { body: "{}" })], [wrongType(1, "body", "an object", "a string")]],
  [
    "a model that is not text",
    [chat("a", {}, { model: { id: "m" } })],
    [wrongType(1, "body.model", "a string", "an object")],
  ],
  ["no model", [chat("a", {}, { model: undefined })], [required("model")]],
  ["a null model", [chat("a", {}, { model: null })], [required("model")]],
  ["an empty model", [chat("a", {}, { model: "" })], [required("model")]],
  ["no messages", [chat("a", {}, { messages: undefined })], [required("messages")]],
  ["null messages", [chat("a", {}, { messages: null })], [required("messages")]],
  ["no input for embeddings", [embedding("a", undefined)], [required("input")], embeddings],
  ["stream: true", [chat("a", {}, { stream: true })], [streaming(1, "Chat Completions")]],
  [
    "a member of the line that is there twice",
    [chat("a").replace("}}", '},"custom_id":"b"}')],
    [twice("custom_id")],
  ],
  [
    "a member of the body that is there twice, once with an escape",
    [chat("a").replace('"model"', '"mod\\u0065l":"n","model"')],
    [twice("body.model")],
  ],
  [
    "a body that is there twice, the first no object",
    [chat("a").replace('"body"', '"body":5,"body"')],
    [twice("body")],
  ],
  // The file as a whole.
  ["an empty file", [], [empty]],
  ["nothing but blank lines", ["", " \t", "\r"], [empty]],
  [
    "several bad lines: one entry for each, by its number, blank lines counted",
    ["", "{", good, "\r", chat("a", {}, { stream: true }), "[]"],
    [notJson(2), streaming(5, "Chat Completions"), wrongType(6, null, "an object", "an array")],
  ],
  [
    "custom_ids that are there twice",
    [chat("a"), chat("b"), chat("a"), chat("a"), chat("x").replace('"x"', '"\\u0062"')],
    [duplicate(3, "a"), duplicate(4, "a"), duplicate(5, "b")],
  ],
  [
    "a long custom_id that is there twice: its beginning is quoted",
    [chat("y".repeat(50_000)), chat("y".repeat(50_000))],
    [duplicate(2, `${"y".repeat(200)}…`)],
  ],
  [
    "a second model",
    [chat("a"), chat("b", {}, { model: "n" }), chat("c", {}, { model: "o" }), chat("d")],
    [mismatch(2, "n"), mismatch(3, "o")],
  ],
  [
    "a model that nobody serves",
    [chat("a", {}, { model: "gpt" }), chat("b")],
    [unserved(1, "gpt", "'m', 'n'")],
  ],
  [
    "a model that nobody serves, where several are allowed",
    [chat("a"), chat("b", {}, { model: "n" }), chat("c", {}, { model: "o" })],
    [unserved(3, "o", "'m', 'n'")],
    { allowSeveralModels: true },
  ],
  ["a model when none is served", [good], [unserved(1, "m", "none")], { served: [] }],
  [
    "a long model name when many are served: the message has a limit",
    [chat("a", {}, { model: "z".repeat(1_000) })],
    [unserved(1, `${"z".repeat(200)}…`, `${twentyModels.join(", ")} and 3 more`)],
    { served: manyModels },
  ],
  // The limits.
  [
    "more requests than allowed, blank lines not counted",
    ["", chat("a"), chat("b"), chat("c"), "{"],
    [tooMany("too_many_tasks", null, "requests in the batch", "2")],
    { limits: { linesPerBatch: 2 } },
  ],
  [
    "more than a thousand requests, the figure as people write it",
    Array.from({ length: 1_235 }, (_, n) => chat(`${n}`)),
    [tooMany("too_many_tasks", null, "requests in the batch", "1,234")],
    { limits: { linesPerBatch: 1_234 } },
  ],
  [
    "a longer line than allowed",
    [good, chat("x".repeat(300)), chat("a")],
    [["request_too_large", null, 2, "This line is longer than the 300 bytes a request may have."]],
    { limits: { lineSizeBytes: 300 } },
  ],
  [
    "more embedding inputs than allowed, over all lines",
    [embedding("a", ["1", "2", "3"]), embedding("b", "4"), embedding("c", "5")],
    [tooMany("too_many_inputs", "body.input", "embedding inputs over all lines of the batch", "4")],
    { ...embeddings, limits: { embeddingInputsPerBatch: 4 } },
  ],
  [
    "more bad lines than are listed",
    ["{", "[", "(", "<"],
    [
      notJson(1),
      notJson(2),
      notJson(3),
      [
        "too_many_errors",
        null,
        null,
        "Validation stopped after 3 errors; later lines were not checked.",
      ],
    ],
    { limits: { validationErrors: 3 } },
  ],
];

test.each(cases)("refused: %s", (_name, lines, errors, setup) => {
  expect(check(lines, setup).errors).toEqual(
    errors.map(([code, param, line, message]) => ({ code, message, param, line })),
  );
});

test.each([
  ["a carriage return at the end", [`${good}\r`]],
  ["blank lines anywhere", ["", good, " \t", "\r", chat("a"), ""]],
  ["spaces around", [`  ${good}  `]],
  [
    "as many requests as allowed",
    [chat("a"), chat("b"), chat("c")],
    { limits: { linesPerBatch: 3 } },
  ],
  [
    "as many embedding inputs as allowed",
    [embedding("a", ["1", "2", "3"]), embedding("b", [1, 2, 3, 4, 5])],
    { endpoint: "/v1/embeddings", limits: { embeddingInputsPerBatch: 4 } },
  ],
  [
    "several models where a setting allows them",
    [chat("a"), chat("b", {}, { model: "n" }), chat("c")],
    { allowSeveralModels: true },
  ],
] as [string, string[], Setup?][])("tolerated: %s", (_name, lines, setup) => {
  expect(check(lines, setup).errors).toEqual([]);
});

test("tells for each accepted line its position and its model", () => {
  const checked = new InputValidator(rules({ allowSeveralModels: true }));
  const lines = [chat("a"), "", chat("b", {}, { model: "n" }), "{", chat("c"), chat("a")];
  const accepted = lines
    .map((line, at) => checked.check(new TextEncoder().encode(line), at + 1))
    .filter((line): line is AcceptedLine => line !== undefined);
  expect(
    accepted.map(({ line, index, modelIndex, suspects }) => [
      line.customId,
      index,
      modelIndex,
      suspects,
    ]),
  ).toEqual([
    ["a", 0, 0, []],
    ["b", 1, 1, []],
    ["c", 2, 0, []],
    ["a", 3, 0, [0]],
  ]);
  expect(checked.models).toEqual(["m", "n"]);
});

test("asks once about a model, not for each line", () => {
  const serves = vi.fn<(model: string) => boolean>(() => true);
  const checked = new InputValidator({ ...rules(), serves });
  for (let n = 0; n < 5; n++) checked.check(new TextEncoder().encode(chat(`${n}`)), n + 1);
  expect(serves.mock.calls).toEqual([["m"]]);
});

test("is stopped once nothing that follows can matter", () => {
  expect(check([good]).stopped).toBe(false);
  expect(check([chat("a"), chat("b")], { limits: { linesPerBatch: 1 } }).stopped).toBe(true);
  expect(check(["{"], { limits: { validationErrors: 1 } }).stopped).toBe(true);
});
