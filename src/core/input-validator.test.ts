// Every refusal of a batch input file, one row for each case, and what is tolerated.
import { expect, test, vi } from "vitest";
import { findEndpoint } from "./endpoints.ts";
import { type AcceptedLine, InputValidator, type InputRules } from "./input-validator.ts";
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
const deep = "[".repeat(100_000) + "]".repeat(100_000);

type Refusal = [code: string, param: string | null, line: number | null, message: string];
interface Case {
  name: string;
  lines: (string | Uint8Array)[];
  setup?: Setup;
  errors: Refusal[];
}

const notJson = "This line is not parseable as valid JSON.";
const missing = (name: string) => `Missing required parameter: '${name}'.`;
const wrongType = (param: string, expected: string, got: string) =>
  `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
const wrongUrl = "The URL provided for this request does not match the batch endpoint.";
const wrongMethod = (got: string) =>
  `Invalid method: ${got}. Only "POST" is supported in the Batch API.`;
const duplicate = (id: string) =>
  `The custom_id '${id}' for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.`;
const mismatch = (model: string) =>
  `The model '${model}' for this request does not match the rest of the batch. Each batch must contain requests for a single model.`;
const unserved = (model: string, served: string) =>
  `The provided model '${model}' is not supported by the Batch API. No upstream serves it for /v1/chat/completions; served: ${served}.`;
const twice = (member: string) =>
  `The member '${member}' appears more than once. Each member must be given once.`;

const cases: Case[] = [
  // One line on its own.
  {
    name: "a line that is not JSON",
    lines: ["{"],
    errors: [["invalid_json_line", null, 1, notJson]],
  },
  {
    name: "a line that is not UTF-8",
    lines: [good, Uint8Array.of(0x22, 0xff, 0x22)],
    errors: [["invalid_json_line", null, 2, notJson]],
  },
  {
    name: "a byte order mark in the middle",
    lines: [good, `\uFEFF${chat("a")}`],
    errors: [["invalid_json_line", null, 2, notJson]],
  },
  {
    name: "a line of control bytes",
    lines: [good, "\u0000"],
    errors: [["invalid_json_line", null, 2, notJson]],
  },
  {
    name: "two objects in one line",
    lines: [`${chat("a")}${chat("b")}`],
    errors: [["invalid_json_line", null, 1, notJson]],
  },
  ...(
    [
      ["[1]", "an array"],
      ["null", "null"],
      ['"x"', "a string"],
      ["17", "an integer"],
    ] as const
  ).map(([line, got]): Case => ({
    name: `a line that is ${got}`,
    lines: [line],
    errors: [
      [
        "invalid_type",
        null,
        1,
        `Invalid type for this line: expected an object, but got ${got} instead.`,
      ],
    ],
  })),
  ...["custom_id", "method", "url", "body"].map((name): Case => ({
    name: `no ${name}`,
    lines: [good, chat("a", { [name]: undefined })],
    errors: [["missing_required_parameter", name, 2, missing(name)]],
  })),
  {
    name: "nothing that a line needs: the first is named",
    lines: ["{}"],
    errors: [["missing_required_parameter", "custom_id", 1, missing("custom_id")]],
  },
  {
    name: "a custom_id that is a number",
    lines: [chat("", { custom_id: 7 })],
    errors: [["invalid_type", "custom_id", 1, wrongType("custom_id", "a string", "an integer")]],
  },
  {
    name: "a custom_id that is null",
    lines: [chat("", { custom_id: null })],
    errors: [["invalid_type", "custom_id", 1, wrongType("custom_id", "a string", "null")]],
  },
  {
    name: "an empty custom_id",
    lines: [chat("")],
    errors: [
      [
        "empty_string",
        "custom_id",
        1,
        "Invalid 'custom_id': empty string. Expected a string with minimum length 1.",
      ],
    ],
  },
  {
    name: "a custom_id longer than the plan can note",
    lines: [chat("x".repeat(CUSTOM_ID_MAX_BYTES - 1))],
    errors: [
      [
        "string_above_max_length",
        "custom_id",
        1,
        "Invalid 'custom_id': string too long. Expected at most 65535 bytes, but got 65536 instead.",
      ],
    ],
  },
  {
    name: "a method other than POST",
    lines: [chat("a", { method: "GET" })],
    errors: [["invalid_method", "method", 1, wrongMethod('"GET"')]],
  },
  {
    name: "a method in lower case",
    lines: [chat("a", { method: "post" })],
    errors: [["invalid_method", "method", 1, wrongMethod('"post"')]],
  },
  {
    name: "a method that is null",
    lines: [chat("a", { method: null })],
    errors: [["invalid_method", "method", 1, wrongMethod("null")]],
  },
  {
    name: "a method that is nested too deeply to be quoted",
    lines: [chat("a", { method: "?" }).replace('"?"', deep)],
    setup: { limits: { lineSizeBytes: 1_000_000 } },
    errors: [["invalid_method", "method", 1, wrongMethod("an array")]],
  },
  {
    name: "the url of another endpoint",
    lines: [chat("a", { url: "/v1/embeddings" })],
    errors: [["invalid_url", "url", 1, wrongUrl]],
  },
  {
    name: "a url with its host",
    lines: [chat("a", { url: "http://localhost/v1/chat/completions" })],
    errors: [["invalid_url", "url", 1, wrongUrl]],
  },
  {
    name: "a url that is not text",
    lines: [chat("a", { url: ["/v1/chat/completions"] })],
    errors: [["invalid_url", "url", 1, wrongUrl]],
  },
  ...(
    [
      [null, "null"],
      [[], "an array"],
      ["{}", "a string"],
    ] as const
  ).map(([body, got]): Case => ({
    name: `a body that is ${got}`,
    lines: [chat("a", { body })],
    errors: [["invalid_type", "body", 1, wrongType("body", "an object", got)]],
  })),
  {
    name: "a model that is not text",
    lines: [chat("a", {}, { model: { id: "m" } })],
    errors: [["invalid_type", "body.model", 1, wrongType("body.model", "a string", "an object")]],
  },
  ...[undefined, null, ""].map((model): Case => ({
    name: `a model that is ${JSON.stringify(model) ?? "missing"}`,
    lines: [chat("a", {}, { model })],
    errors: [["invalid_request", "body.model", 1, "Model parameter is required."]],
  })),
  ...[undefined, null].map((given): Case => ({
    name: `messages that are ${given === null ? "null" : "missing"}`,
    lines: [chat("a", {}, { messages: given })],
    errors: [["invalid_request", "body.messages", 1, "Messages parameter is required."]],
  })),
  {
    name: "no input for embeddings",
    lines: [embedding("a", undefined)],
    setup: { endpoint: "/v1/embeddings" },
    errors: [["invalid_request", "body.input", 1, "Input parameter is required."]],
  },
  {
    name: "stream: true",
    lines: [chat("a", {}, { stream: true })],
    errors: [
      [
        "streaming_unsupported",
        "body.stream",
        1,
        "Chat Completions: Streaming is not supported in the Batch API.",
      ],
    ],
  },
  {
    name: "a member of the line that is there twice",
    lines: [chat("a").replace("}}", '},"custom_id":"b"}')],
    errors: [["duplicate_member", "custom_id", 1, twice("custom_id")]],
  },
  {
    name: "a member of the body that is there twice, once with an escape",
    lines: [chat("a").replace("}}", '},"x":1}').replace('"model"', '"mod\\u0065l":"n","model"')],
    errors: [["duplicate_member", "body.model", 1, twice("body.model")]],
  },
  // The file as a whole.
  {
    name: "an empty file",
    lines: [],
    errors: [
      [
        "empty_file",
        null,
        null,
        "The input file is empty. Please ensure that the batch contains at least one request.",
      ],
    ],
  },
  {
    name: "nothing but blank lines",
    lines: ["", " \t", "\r"],
    errors: [
      [
        "empty_file",
        null,
        null,
        "The input file is empty. Please ensure that the batch contains at least one request.",
      ],
    ],
  },
  {
    name: "one entry for each bad line, by its number, blank lines counted",
    lines: ["", "{", good, "\r", chat("a", {}, { stream: true }), "[]"],
    errors: [
      ["invalid_json_line", null, 2, notJson],
      [
        "streaming_unsupported",
        "body.stream",
        5,
        "Chat Completions: Streaming is not supported in the Batch API.",
      ],
      [
        "invalid_type",
        null,
        6,
        "Invalid type for this line: expected an object, but got an array instead.",
      ],
    ],
  },
  {
    name: "custom_ids that are there twice",
    lines: [chat("a"), chat("b"), chat("a"), chat("a"), chat("x").replace('"x"', '"\\u0062"')],
    errors: [
      ["duplicate_custom_id", "custom_id", 3, duplicate("a")],
      ["duplicate_custom_id", "custom_id", 4, duplicate("a")],
      ["duplicate_custom_id", "custom_id", 5, duplicate("b")],
    ],
  },
  {
    name: "a long custom_id that is there twice: the message quotes its beginning",
    lines: [chat("y".repeat(50_000)), chat("y".repeat(50_000))],
    errors: [["duplicate_custom_id", "custom_id", 2, duplicate(`${"y".repeat(200)}…`)]],
  },
  {
    name: "a second model",
    lines: [chat("a"), chat("b", {}, { model: "n" }), chat("c", {}, { model: "o" }), chat("d")],
    errors: [
      ["mismatched_model", "body.model", 2, mismatch("n")],
      ["mismatched_model", "body.model", 3, mismatch("o")],
    ],
  },
  {
    name: "a model that nobody serves",
    lines: [chat("a", {}, { model: "gpt" }), chat("b")],
    errors: [["model_not_found", "body.model", 1, unserved("gpt", "'m', 'n'")]],
  },
  {
    name: "a model where several are allowed, and nobody serves one",
    lines: [chat("a"), chat("b", {}, { model: "n" }), chat("c", {}, { model: "o" })],
    setup: { allowSeveralModels: true },
    errors: [["model_not_found", "body.model", 3, unserved("o", "'m', 'n'")]],
  },
  {
    name: "a model when none is served",
    lines: [good],
    setup: { served: [] },
    errors: [["model_not_found", "body.model", 1, unserved("m", "none")]],
  },
  {
    name: "a long model name when many are served: the message quotes the first ones",
    lines: [chat("a", {}, { model: "z".repeat(1_000) })],
    setup: { served: Array.from({ length: 23 }, (_, n) => `m${n}`) },
    errors: [
      [
        "model_not_found",
        "body.model",
        1,
        unserved(
          `${"z".repeat(200)}…`,
          `${Array.from({ length: 20 }, (_, n) => `'m${n}'`).join(", ")} and 3 more`,
        ),
      ],
    ],
  },
  // The limits.
  {
    name: "more requests than allowed",
    lines: ["", chat("a"), chat("b"), chat("c"), "{"],
    setup: { limits: { linesPerBatch: 2 } },
    errors: [
      [
        "too_many_tasks",
        null,
        null,
        "The number of requests in the batch exceeds the maximum allowed value of 2.",
      ],
    ],
  },
  {
    name: "more requests than the default, as people write the figure",
    lines: Array.from({ length: 1_235 }, (_, n) => chat(`${n}`)),
    setup: { limits: { linesPerBatch: 1_234 } },
    errors: [
      [
        "too_many_tasks",
        null,
        null,
        "The number of requests in the batch exceeds the maximum allowed value of 1,234.",
      ],
    ],
  },
  {
    name: "a longer line than allowed",
    lines: [good, chat("x".repeat(300)), chat("a")],
    setup: { limits: { lineSizeBytes: 300 } },
    errors: [
      ["request_too_large", null, 2, "This line is longer than the 300 bytes a request may have."],
    ],
  },
  {
    name: "more embedding inputs than allowed, over all lines",
    lines: [embedding("a", ["1", "2", "3"]), embedding("b", "4"), embedding("c", "5")],
    setup: { endpoint: "/v1/embeddings", limits: { embeddingInputsPerBatch: 4 } },
    errors: [
      [
        "too_many_inputs",
        "body.input",
        null,
        "The number of embedding inputs over all lines of the batch exceeds the maximum allowed value of 4.",
      ],
    ],
  },
  {
    name: "more bad lines than are listed",
    lines: ["{", "[", "(", "<"],
    setup: { limits: { validationErrors: 3 } },
    errors: [
      ["invalid_json_line", null, 1, notJson],
      ["invalid_json_line", null, 2, notJson],
      ["invalid_json_line", null, 3, notJson],
      [
        "too_many_errors",
        null,
        null,
        "Validation stopped after 3 errors; later lines were not checked.",
      ],
    ],
  },
];

test.each(cases)("refused: $name", ({ lines, setup, errors }) => {
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
  const serves = vi.fn(() => true);
  const checked = new InputValidator({ ...rules(), serves });
  for (let n = 0; n < 5; n++) checked.check(new TextEncoder().encode(chat(`${n}`)), n + 1);
  expect(serves.mock.calls).toEqual([["m"]]);
});

test("is stopped once nothing that follows can matter", () => {
  expect(check([good]).stopped).toBe(false);
  expect(check([chat("a"), chat("b")], { limits: { linesPerBatch: 1 } }).stopped).toBe(true);
  expect(check(["{"], { limits: { validationErrors: 1 } }).stopped).toBe(true);
});
