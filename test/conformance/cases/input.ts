// The lines of an input file: what validation refuses, in which words, and what it tolerates.
import { strict as assert } from "node:assert";
import type { Case, Need } from "../case.ts";
import { has, refused } from "../checks.ts";
import {
  CHAT,
  chatLine,
  createBatch,
  failedBatch,
  jsonl,
  results,
  sendFile,
  untilStatus,
} from "../samples.ts";
import type { BatchError } from "../schemas/batch.ts";
import type { Target } from "../target.ts";

/** The errors with which a batch of these lines fails. */
async function errorsOf(
  target: Target,
  lines: readonly object[] | string,
  endpoint: string = CHAT,
): Promise<BatchError[]> {
  const { id } = await createBatch(target, lines, { endpoint });
  const { errors } = await untilStatus(target, id, "failed");
  return errors!.data;
}

interface BadLine {
  row: string;
  name: string;
  needs?: readonly Need[];
  /** The bad line; a text is taken as it is. */
  line: (target: Target) => object | string;
  error: { code: string; param: string | null; message?: string };
}

/** A case in which a good line is followed by a bad one, which alone is named. */
function badLine({ row, name, needs = [], line, error }: BadLine): Case {
  return {
    row,
    name,
    needs,
    async run(target) {
      const bad = line(target);
      const text = typeof bad === "string" ? bad : JSON.stringify(bad);
      const good = jsonl([chatLine(target, "good", "Hi")]);
      const errors = await errorsOf(target, `${good}${text}\n`);
      assert.equal(errors.length, 1, JSON.stringify(errors));
      has(errors[0]!, { ...error, line: 2 });
    },
  };
}

function withBody({ model }: Target, body: object, more: object = {}): object {
  const line = { custom_id: "a", method: "POST", url: CHAT, body: { model, ...body } };
  return { ...line, ...more };
}

/** A case in which a batch of this text completes with these custom_ids. */
function tolerated(
  row: string,
  name: string,
  text: (target: Target) => string,
  customIds: readonly string[],
): Case {
  return {
    row,
    name,
    needs: ["offpeak"],
    async run(target) {
      const { id } = await createBatch(target, text(target));
      const batch = await untilStatus(target, id, "completed");
      const lines = await results(target, batch.output_file_id);
      assert.deepEqual(
        lines.map((line) => line.custom_id),
        customIds,
      );
    },
  };
}

const required = ["custom_id", "method", "url", "body"];

export const inputCases: readonly Case[] = [
  {
    row: "input.errors",
    name: "every bad line has one entry, in the order of the file",
    async run(target) {
      const good = chatLine(target, "a", "Hi");
      const bad = [{ ...good, url: "/v1/nothing" }, { custom_id: "b" }, good];
      const errors = await errorsOf(target, [good, ...bad]);
      assert.deepEqual(
        errors.map(({ line }) => line),
        [2, 3, 4],
      );
    },
  },
  {
    row: "input.errors-cap",
    name: "after 100 bad lines one more entry says that validation stopped",
    needs: ["offpeak"],
    async run(target) {
      const errors = await errorsOf(
        target,
        Array.from({ length: 150 }, () => ({})),
      );
      assert.equal(errors.length, 101);
      has(errors[100]!, { code: "too_many_errors" });
    },
  },
  {
    row: "input.not-json",
    name: "a line that is not JSON",
    async run(target) {
      const [error] = (await failedBatch(target)).errors!.data;
      has(error!, {
        code: "invalid_json_line",
        message: "This line is not parseable as valid JSON.",
        param: null,
        line: 2,
      });
    },
  },
  badLine({
    row: "input.not-an-object",
    name: "a line that is JSON but no object",
    needs: ["offpeak"],
    line: () => "[1, 2]",
    error: { code: "invalid_type", param: null },
  }),
  ...required.map((name) =>
    badLine({
      row: "input.member-missing",
      name: `a line without ${name}`,
      line: (target) => chatLine(target, "a", "Hi", { [name]: undefined }),
      error: {
        code: "missing_required_parameter",
        param: name,
        message: `Missing required parameter: '${name}'.`,
      },
    }),
  ),
  badLine({
    row: "input.url",
    name: "the url of another endpoint",
    line: (target) => chatLine(target, "a", "Hi", { url: "/v1/embeddings" }),
    error: {
      code: "invalid_url",
      param: "url",
      message: "The URL provided for this request does not match the batch endpoint.",
    },
  }),
  badLine({
    row: "input.method",
    name: "another method than POST",
    line: (target) => chatLine(target, "a", "Hi", { method: "GET" }),
    error: { code: "invalid_method", param: "method" },
  }),
  badLine({
    row: "input.custom-id-duplicate",
    name: "the custom_id of an earlier line",
    line: (target) => chatLine(target, "good", "Hi"),
    error: {
      code: "duplicate_custom_id",
      param: "custom_id",
      message:
        "The custom_id 'good' for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.",
    },
  }),
  badLine({
    row: "input.custom-id-type",
    name: "a custom_id that is no string",
    needs: ["offpeak"],
    line: (target) => chatLine(target, "a", "Hi", { custom_id: 7 }),
    error: { code: "invalid_type", param: "custom_id" },
  }),
  badLine({
    row: "input.custom-id-empty",
    name: "an empty custom_id",
    needs: ["offpeak"],
    line: (target) => chatLine(target, "", "Hi"),
    error: { code: "empty_string", param: "custom_id" },
  }),
  badLine({
    row: "input.custom-id-length",
    name: "a custom_id of 70,000 characters",
    needs: ["offpeak"],
    line: (target) => chatLine(target, "x".repeat(70_000), "Hi"),
    error: { code: "string_above_max_length", param: "custom_id" },
  }),
  tolerated(
    "input.custom-id-length",
    "a custom_id of 1,000 characters of any alphabet is taken",
    (target) => jsonl([chatLine(target, "ü/😀 ".repeat(200), "Say hi.")]),
    ["ü/😀 ".repeat(200)],
  ),
  badLine({
    row: "input.body-type",
    name: "a body that is no object",
    needs: ["offpeak"],
    line: (target) => chatLine(target, "a", "Hi", { body: "Hi" }),
    error: { code: "invalid_type", param: "body" },
  }),
  badLine({
    row: "input.model-mismatch",
    name: "another model than in the line before",
    needs: ["offpeak"],
    line: (target) => withBody(target, { model: "another-model", messages: [] }),
    error: {
      code: "mismatched_model",
      param: "body.model",
      message:
        "The model 'another-model' for this request does not match the rest of the batch. Each batch must contain requests for a single model.",
    },
  }),
  {
    row: "input.model-unknown",
    name: "a model that is not there, on every line that names it",
    async run(target) {
      const lines = ["a", "b"].map((id) =>
        withBody(target, { model: "gpt-99", messages: [] }, { custom_id: id }),
      );
      const [error] = await errorsOf(target, lines);
      has(error!, { code: "model_not_found", param: "body.model", line: 1 });
      assert.ok(
        error!.message.startsWith("The provided model 'gpt-99' is not supported by the Batch API."),
      );
    },
  },
  badLine({
    row: "input.model-missing",
    name: "a body without a model",
    line: (target) => withBody(target, { model: undefined, messages: [] }),
    error: {
      code: "invalid_request",
      param: "body.model",
      message: "Model parameter is required.",
    },
  }),
  badLine({
    row: "input.required-of-body",
    name: "a chat body without messages",
    line: (target) => withBody(target, {}),
    error: {
      code: "invalid_request",
      param: "body.messages",
      message: "Messages parameter is required.",
    },
  }),
  badLine({
    row: "input.streaming",
    name: "a body that asks for a stream",
    line: (target) => withBody(target, { messages: [], stream: true }),
    error: {
      code: "streaming_unsupported",
      param: "body.stream",
      message: "Chat Completions: Streaming is not supported in the Batch API.",
    },
  }),
  badLine({
    row: "input.member-twice",
    name: "a line in which a member stands twice",
    needs: ["offpeak"],
    line: (target) => JSON.stringify(chatLine(target, "a", "Hi")).replace("{", '{"custom_id":"b",'),
    error: { code: "duplicate_member", param: "custom_id" },
  }),
  badLine({
    row: "input.too-complex",
    name: "a line of over a million arrays",
    needs: ["offpeak"],
    line: (target) =>
      JSON.stringify(withBody(target, { messages: [] })).replace(
        '"messages":[]',
        `"messages":[${"[],".repeat(1_000_001)}[]]`,
      ),
    error: { code: "request_too_complex", param: null },
  }),
  {
    row: "input.not-utf8",
    name: "a line that is not UTF-8 is not JSON",
    needs: ["offpeak"],
    async run(target) {
      const good = jsonl([chatLine(target, "a", "Hi")]);
      const form = new FormData();
      form.append("purpose", "batch");
      form.append("file", new Blob([good, Uint8Array.of(0x7b, 0xff, 0x7d, 0x0a)]), "in.jsonl");
      const answer = await target.send("/files", { method: "POST", body: form });
      const { id } = answer.json as { id: string };
      const request = { input_file_id: id, endpoint: CHAT, completion_window: "24h" };
      const created = await target.post("/batches", request);
      const batch = await untilStatus(target, (created.json as { id: string }).id, "failed");
      has(batch.errors!.data[0]!, { code: "invalid_json_line", line: 2 });
    },
  },
  tolerated(
    "input.no-last-newline",
    "the last line needs no newline",
    (target) => jsonl([chatLine(target, "a", "Say hi.")]).trimEnd(),
    ["a"],
  ),
  tolerated(
    "input.crlf",
    "lines may end in CRLF",
    (target) =>
      jsonl([chatLine(target, "a", "Say a."), chatLine(target, "b", "Say b.")]).replaceAll(
        "\n",
        "\r\n",
      ),
    ["a", "b"],
  ),
  tolerated(
    "input.byte-order-mark",
    "one byte order mark at the start is skipped",
    (target) => `\uFEFF${jsonl([chatLine(target, "a", "Say hi.")])}`,
    ["a"],
  ),
  tolerated(
    "input.blank-lines",
    "blank lines are skipped",
    (target) =>
      `${jsonl([chatLine(target, "a", "Say a.")])}\n  \n${jsonl([chatLine(target, "b", "Say b.")])}\n\n`,
    ["a", "b"],
  ),
  {
    row: "input.blank-lines",
    name: "… and counted for the numbers of lines",
    needs: ["offpeak"],
    async run(target) {
      const [error] = await errorsOf(
        target,
        `${jsonl([chatLine(target, "a", "Hi")])}\n\nno json\n`,
      );
      assert.equal(error?.line, 4);
    },
  },
  {
    row: "input.empty",
    name: "a file of blank lines is refused when it is uploaded",
    async run(target) {
      refused(await sendFile(target, "\n\n"), { status: 400 });
    },
  },
];
