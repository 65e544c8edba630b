// Output and error files line by line, and what each endpoint gives.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { checkShape, has, ok } from "../checks.ts";
import {
  DAY_SECONDS,
  cancelledBatch,
  chatLine,
  completedBatch,
  contentOf,
  createBatch,
  expiredBatch,
  results,
  untilStatus,
} from "../samples.ts";
import type { WireBatch } from "../schemas/batch.ts";
import { type WireFile, fileSchema } from "../schemas/file.ts";
import { type ResultLine, resultLineSchema } from "../schemas/result-line.ts";
import type { Target } from "../target.ts";

async function outputOf(target: Target): Promise<ResultLine[]> {
  return results(target, (await completedBatch(target)).output_file_id);
}

async function errorsOf(target: Target, batch: WireBatch): Promise<ResultLine[]> {
  return results(target, batch.error_file_id);
}

async function fileOf(target: Target, id: string | null): Promise<WireFile> {
  return ok(await target.send(`/files/${id}`), fileSchema);
}

interface EndpointCase {
  name: string;
  path: string;
  body: (model: string) => object;
  /** What the body of the answer must have. */
  answer: Record<string, unknown>;
  /** Whether the batch's usage counts its answers. */
  usage: boolean;
  /** What only some servers have; chat is everywhere. */
  everywhere?: boolean;
}

const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const endpoints: readonly EndpointCase[] = [
  {
    name: "chat-completions",
    path: "/v1/chat/completions",
    body: (model) => ({ model, messages: [{ role: "user", content: "Say hi." }] }),
    answer: { object: "chat.completion" },
    usage: true,
    everywhere: true,
  },
  {
    name: "completions",
    path: "/v1/completions",
    body: (model) => ({ model, prompt: "Once upon a time" }),
    answer: { object: "text_completion" },
    usage: true,
  },
  {
    name: "responses",
    path: "/v1/responses",
    body: (model) => ({ model, input: "Say hi." }),
    answer: { object: "response" },
    usage: true,
  },
  {
    name: "embeddings",
    path: "/v1/embeddings",
    body: (model) => ({ model, input: ["one", "two"] }),
    answer: { object: "list" },
    usage: true,
  },
  {
    name: "moderations",
    path: "/v1/moderations",
    body: (model) => ({ model, input: "Nothing to see here." }),
    answer: {},
    usage: false,
  },
  {
    name: "images-generations",
    path: "/v1/images/generations",
    body: (model) => ({ model, prompt: "A lighthouse" }),
    answer: {},
    usage: true,
  },
  {
    name: "images-edits",
    path: "/v1/images/edits",
    body: (model) => ({ model, prompt: "Brighter", images: [{ image_url: PIXEL }] }),
    answer: {},
    usage: true,
  },
  {
    name: "videos",
    path: "/v1/videos",
    body: (model) => ({ model, prompt: "Waves" }),
    answer: { object: "video", status: "completed" },
    usage: false,
  },
];

function endpointCase({ name, path, body, answer, usage, everywhere }: EndpointCase): Case {
  return {
    row: `endpoints.${name}`,
    name: `${path} runs, and its answer stands in the output as it came`,
    needs: everywhere ? [] : ["simulator"],
    async run(target) {
      const line = { custom_id: "a", method: "POST", url: path, body: body(target.model) };
      const { id } = await createBatch(target, [line], { endpoint: path });
      const batch = await untilStatus(target, id, "completed");
      const [result] = await results(target, batch.output_file_id);
      assert.equal(result?.response?.status_code, 200, JSON.stringify(batch));
      has(result.response.body, answer);
      assert.equal(batch.usage.total_tokens > 0, usage, JSON.stringify(batch.usage));
    },
  };
}

export const resultsCases: readonly Case[] = [
  {
    row: "line",
    name: "id, custom_id, response and error, in this order, on every line of both files",
    async run(target) {
      const batch = await completedBatch(target);
      const lines = [...(await outputOf(target)), ...(await errorsOf(target, batch))];
      assert.equal(lines.length, 3);
      for (const line of lines) checkShape(line, resultLineSchema);
    },
  },
  {
    row: "line.id",
    name: "batch_req_ and 32 hex digits, of which 8 are a time, once each",
    async run(target) {
      const ids = (await outputOf(target)).map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length);
      const { created_at: from, completed_at: to } = await completedBatch(target);
      for (const id of ids) {
        assert.match(id, /^batch_req_[0-9a-f]{32}$/);
        const seconds = Number.parseInt(id.slice(10, 18), 16);
        assert.ok(seconds >= from && seconds <= to!, `${id} is of ${seconds}`);
      }
    },
  },
  {
    row: "line.custom_id",
    name: "as it stands in the input, whatever is in it",
    async run(target) {
      const customId = 'a "quoted" \\ ü 😀 \u2028 id';
      const { id } = await createBatch(target, [chatLine(target, customId, "Say hi.")]);
      const batch = await untilStatus(target, id, "completed");
      const [line] = await results(target, batch.output_file_id);
      assert.equal(line?.custom_id, customId);
    },
  },
  {
    row: "line.response.status_code",
    name: "of the HTTP answer",
    async run(target) {
      for (const { response } of await outputOf(target)) assert.equal(response?.status_code, 200);
      const [bad] = await errorsOf(target, await completedBatch(target));
      assert.equal(bad?.response?.status_code, 400);
    },
  },
  {
    row: "line.response.request_id",
    name: "32 hex digits without a prefix, once each",
    async run(target) {
      const ids = (await outputOf(target)).map(({ response }) => response!.request_id);
      for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
      assert.equal(new Set(ids).size, ids.length);
    },
  },
  {
    row: "line.response.body",
    name: "the answer as an object",
    async run(target) {
      for (const { response } of await outputOf(target)) {
        has(response!.body, { object: "chat.completion" });
      }
    },
  },
  {
    row: "line.error",
    name: "null when there was an HTTP answer, of whatever status",
    async run(target) {
      const lines = [
        ...(await outputOf(target)),
        ...(await errorsOf(target, await completedBatch(target))),
      ];
      for (const { error } of lines) assert.equal(error, null);
    },
  },
  {
    row: "line.http-error",
    name: "an answer that is an error stands in the error file, with its body",
    async run(target) {
      const [line] = await errorsOf(target, await completedBatch(target));
      has(line!, { custom_id: "bad", error: null });
      const { error } = line!.response!.body as { error: Record<string, unknown> };
      assert.equal(typeof error["message"], "string");
    },
  },
  {
    row: "line.batch-cancelled",
    name: "a line that was not run before the cancel",
    needs: ["simulator"],
    async run(target) {
      const [line] = await errorsOf(target, await cancelledBatch(target));
      checkShape(line, resultLineSchema);
      assert.equal(line!.response, null);
      assert.deepEqual(line!.error, {
        code: "batch_cancelled",
        message: "This request was not executed because the batch was cancelled.",
      });
    },
  },
  {
    row: "line.batch-expired",
    name: "a line that was not run before the end of the window",
    needs: ["short-window", "simulator"],
    async run(target) {
      const project = target.with("short-window");
      const [line] = await errorsOf(project, await expiredBatch(project));
      checkShape(line, resultLineSchema);
      assert.equal(line!.response, null);
      assert.deepEqual(line!.error, {
        code: "batch_expired",
        message: "This request could not be executed before the completion window expired.",
      });
    },
  },
  {
    row: "line.request-timeout",
    name: "a line whose model does not answer in time",
    needs: ["other-settings"],
    async run(target) {
      const small = target.with("other-settings");
      const { id } = await createBatch(small, [chatLine(small, "slow", "[simulate: hang]")]);
      const batch = await untilStatus(small, id, "completed");
      assert.deepEqual(batch.request_counts, { total: 1, completed: 0, failed: 1 });
      const [line] = await errorsOf(small, batch);
      assert.equal(line!.response, null);
      assert.equal(line!.error?.code, "request_timeout");
    },
  },
  {
    row: "results.layout",
    name: "a newline after every line, the last one too; a space after each comma and colon of the envelope",
    async run(target) {
      const text = await contentOf(target, (await completedBatch(target)).output_file_id!);
      assert.ok(text.endsWith("}\n"));
      assert.equal(text.split("\n").length, 3);
      for (const line of text.trimEnd().split("\n")) {
        assert.match(line, /^\{"id": ".+", "custom_id": ".+", "response": \{"status_code": 200, /);
        assert.ok(line.endsWith('}, "error": null}'), line);
      }
    },
  },
  {
    row: "results.order",
    name: "lines stand in the order of the input",
    needs: ["offpeak"],
    async run(target) {
      const customIds = Array.from({ length: 60 }, (_, n) => `line-${n}`);
      const lines = customIds.map((id) => chatLine(target, id, `Say ${id}.`));
      const { id } = await createBatch(target, lines);
      const batch = await untilStatus(target, id, "completed");
      const output = await results(target, batch.output_file_id);
      assert.deepEqual(
        output.map((line) => line.custom_id),
        customIds,
      );
    },
  },
  {
    row: "results.filename",
    name: "batch_<id>_output.jsonl and batch_<id>_error.jsonl",
    async run(target) {
      const { id, output_file_id: output, error_file_id: errors } = await completedBatch(target);
      has(await fileOf(target, output), { filename: `${id}_output.jsonl` });
      has(await fileOf(target, errors), { filename: `${id}_error.jsonl` });
    },
  },
  {
    row: "results.expires_at",
    name: "result files live for 30 days",
    async run(target) {
      const { output_file_id: output, error_file_id: errors } = await completedBatch(target);
      for (const id of [output, errors]) {
        const file = await fileOf(target, id);
        assert.equal(file.expires_at, file.created_at + 30 * DAY_SECONDS);
      }
    },
  },
  ...endpoints.map(endpointCase),
];
