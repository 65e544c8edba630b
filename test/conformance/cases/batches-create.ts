// POST /v1/batches: what a new batch may be, and what is refused at once.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import {
  CHAT,
  DAY_SECONDS,
  chatLine,
  createBatch,
  ended,
  jsonl,
  newBatch,
  untilStatus,
  upload,
} from "../samples.ts";
import { type WireBatch, batchSchema } from "../schemas/batch.ts";
import { fileSchema } from "../schemas/file.ts";
import type { Answer, Target } from "../target.ts";

const endpoints = [
  CHAT,
  "/v1/completions",
  "/v1/embeddings",
  "/v1/images/edits",
  "/v1/images/generations",
  "/v1/moderations",
  "/v1/responses",
  "/v1/videos",
];

/** A create with some members replaced; a member that is undefined is left out. */
async function create(target: Target, members: object): Promise<Answer> {
  return target.post("/batches", { ...(await newBatch(target)), ...members });
}

async function created(target: Target, members: object = {}): Promise<WireBatch> {
  return ok(await create(target, members), batchSchema);
}

/** The batch of this file ends `failed`, with the one error about the file. */
async function failsForItsFile(target: Target, fileId: string): Promise<void> {
  const batch = await created(target, { input_file_id: fileId });
  assert.equal(batch.status, "validating");
  const { errors } = await untilStatus(target, batch.id, "failed");
  assert.equal(errors?.data.length, 1);
  has(errors.data[0]!, { code: "invalid_request", param: "file_id", line: null });
  assert.ok(errors.data[0]!.message.includes(fileId), errors.data[0]!.message);
}

function metadataOf(pairs: number, key: string, value: string): Record<string, string> {
  return Object.fromEntries(Array.from({ length: pairs }, (_, n) => [`${key}${10 + n}`, value]));
}

export const batchesCreateCases: readonly Case[] = [
  {
    row: "batches.create",
    name: "the answer is 200, at once, with a batch that is validating",
    async run(target) {
      const request = await newBatch(target);
      const batch = ok(await target.post("/batches", request), batchSchema);
      has(batch, { ...request, status: "validating", model: null, metadata: null });
    },
  },
  {
    row: "batches.create.member-missing",
    name: "each required member is missed by its name",
    async run(target) {
      for (const name of ["input_file_id", "endpoint", "completion_window"]) {
        refused(await create(target, { [name]: undefined }), {
          status: 400,
          code: "missing_required_parameter",
          param: name,
          message: `Missing required parameter: '${name}'.`,
        });
      }
    },
  },
  {
    row: "batches.create.member-type",
    name: "a member of another type is named, with what was expected and what came",
    async run(target) {
      refused(await create(target, { input_file_id: ["file-1"] }), {
        status: 400,
        code: "invalid_type",
        param: "input_file_id",
        message: "Invalid type for 'input_file_id': expected a string, but got an array instead.",
      });
    },
  },
  {
    row: "batches.create.endpoint",
    name: "all eight endpoints are taken, and come back as sent",
    async run(target) {
      for (const endpoint of endpoints) has(await created(target, { endpoint }), { endpoint });
    },
  },
  {
    row: "batches.create.endpoint-unknown",
    name: "another endpoint is refused with the list of those there are",
    async run(target) {
      const quoted = endpoints.map((endpoint) => `'${endpoint}'`);
      const list = `${quoted.slice(0, -1).join(", ")}, and ${quoted.at(-1)}`;
      for (const endpoint of ["/v1/invalid/endpoint", "/v1/chat/completions/", ""]) {
        refused(await create(target, { endpoint }), {
          status: 400,
          code: "invalid_value",
          param: "endpoint",
          message: `Invalid value: '${endpoint}'. Supported values are: ${list}.`,
        });
      }
    },
  },
  {
    row: "batches.create.completion-window",
    name: "24h is taken, and ends 86,400 seconds after the creation",
    async run(target) {
      const { completion_window: window, created_at: at, expires_at: end } = await created(target);
      assert.deepEqual([window, end], ["24h", at + DAY_SECONDS]);
    },
  },
  {
    row: "batches.create.completion-window-unknown",
    name: "any other window is refused",
    async run(target) {
      for (const window of ["1h", "48h", "soon", ""]) {
        const refusal = { status: 400, code: "invalid_value", param: "completion_window" };
        refused(await create(target, { completion_window: window }), refusal);
      }
    },
  },
  {
    row: "beyond.completion-windows",
    name: "a project may allow other windows, and none else",
    needs: ["short-window"],
    async run(target) {
      const project = target.with("short-window");
      const batch = await created(project, { completion_window: "1m" });
      assert.equal(batch.expires_at, batch.created_at + 60);
      const refusal = { status: 400, code: "invalid_value", param: "completion_window" };
      refused(await create(project, { completion_window: "2m" }), refusal);
    },
  },
  {
    row: "batches.create.metadata",
    name: "16 pairs of 64 and 512 characters come back, each counted in code points",
    async run(target) {
      const metadata = metadataOf(16, "😀".repeat(62), "é😀".repeat(256));
      assert.deepEqual((await created(target, { metadata })).metadata, metadata);
    },
  },
  {
    row: "batches.create.metadata-null",
    name: "null metadata is none, and an empty object stays one",
    async run(target) {
      assert.equal((await created(target, { metadata: null })).metadata, null);
      assert.deepEqual((await created(target, { metadata: {} })).metadata, {});
    },
  },
  {
    row: "batches.create.metadata-value-type",
    name: "a value that is no string is refused under its key",
    async run(target) {
      refused(await create(target, { metadata: { tags: ["a"] } }), {
        status: 400,
        code: "invalid_type",
        param: "metadata.tags",
        message: "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
      });
    },
  },
  {
    row: "batches.create.metadata-pairs",
    name: "17 pairs are refused",
    async run(target) {
      refused(await create(target, { metadata: metadataOf(17, "k", "v") }), {
        status: 400,
        code: "object_above_max_properties",
        param: "metadata",
        message:
          "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
      });
    },
  },
  {
    row: "batches.create.metadata-value-length",
    name: "a value of 513 characters is refused",
    async run(target) {
      refused(await create(target, { metadata: { k: "😀".repeat(513) } }), {
        status: 400,
        code: "string_above_max_length",
        param: "metadata.k",
        message:
          "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length 513 instead.",
      });
    },
  },
  {
    row: "batches.create.metadata-key-length",
    name: "a key of 65 characters is refused",
    async run(target) {
      const key = "k".repeat(65);
      refused(await create(target, { metadata: { [key]: "v" } }), {
        status: 400,
        code: "property_name_above_max_length",
        param: `metadata.${key}`,
        message: `Invalid property name in 'metadata': '${key}' is too long. Expected a string with maximum length 64, but got a string with length 65 instead.`,
      });
    },
  },
  {
    row: "batches.create.input-file-id-length",
    name: "an input_file_id of 65 characters is refused",
    needs: ["offpeak"],
    async run(target) {
      refused(await create(target, { input_file_id: "f".repeat(65) }), {
        status: 400,
        code: "string_above_max_length",
        param: "input_file_id",
      });
    },
  },
  {
    row: "batches.create.output-expires-after",
    name: "the result files live so long from their own creation; the batch does not show it",
    async run(target) {
      const { id } = await createBatch(target, [chatLine(target, "a", "Say hi.")], {
        output_expires_after: { anchor: "created_at", seconds: 7_200 },
      });
      const batch = await untilStatus(target, id, "completed");
      const answer = await target.send(`/files/${batch.output_file_id}`);
      const file = ok(answer, fileSchema);
      assert.equal(file.expires_at, file.created_at + 7_200);
    },
  },
  {
    row: "batches.create.output-expires-after-incomplete",
    name: "anchor and seconds are both required",
    async run(target) {
      for (const [given, missing] of [
        [{ seconds: 3_600 }, "anchor"],
        [{ anchor: "created_at" }, "seconds"],
      ] as const) {
        refused(await create(target, { output_expires_after: given }), {
          status: 400,
          code: "missing_required_parameter",
          param: `output_expires_after.${missing}`,
        });
      }
    },
  },
  {
    row: "batches.create.output-expires-after-range",
    name: "seconds are from 3600 to 2592000, ends included",
    async run(target) {
      for (const seconds of [3_600, 2_592_000]) {
        await created(target, { output_expires_after: { anchor: "created_at", seconds } });
      }
      for (const [seconds, code] of [
        [3_599, "integer_below_min_value"],
        [2_592_001, "integer_above_max_value"],
      ] as const) {
        const answer = await create(target, {
          output_expires_after: { anchor: "created_at", seconds },
        });
        refused(answer, { status: 400, code, param: "output_expires_after.seconds" });
      }
    },
  },
  {
    row: "batches.create.output-expires-after-anchor",
    name: "no other anchor is known",
    async run(target) {
      const answer = await create(target, {
        output_expires_after: { anchor: "last_active_at", seconds: 3_600 },
      });
      refused(answer, { status: 400, param: "output_expires_after.anchor" });
    },
  },
  {
    row: "batches.create.input-file-unknown",
    name: "a file that does not exist is no refusal: the batch fails",
    async run(target) {
      await failsForItsFile(target, "file-AbCdEfGhJkLmNpQrStUvWx");
    },
  },
  {
    row: "batches.create.input-file-deleted",
    name: "neither is a deleted file",
    async run(target) {
      const { id } = await upload(target, jsonl([chatLine(target, "a", "Hi")]));
      await target.send(`/files/${id}`, { method: "DELETE" });
      await failsForItsFile(target, id);
    },
  },
  {
    row: "batches.create.input-file-foreign",
    name: "neither is a file of another project, in the same words",
    needs: ["other-project"],
    async run(target) {
      const other = target.with("other-project");
      const { id } = await upload(other, jsonl([chatLine(target, "a", "Hi")]));
      await failsForItsFile(target, id);
    },
  },
  {
    row: "batches.create.input-file-purpose",
    name: "neither is a file of another purpose",
    async run(target) {
      const { id } = await upload(target, jsonl([chatLine(target, "a", "Hi")]), {
        purpose: "user_data",
      });
      const { id: batchId, status } = await created(target, { input_file_id: id });
      assert.equal(status, "validating");
      const { errors } = await untilStatus(target, batchId, "failed");
      has(errors!.data[0]!, { code: "invalid_request", param: "file_id", line: null });
    },
  },
  {
    row: "batches.create.input-file-shared",
    name: "one file may be the input of several batches",
    async run(target) {
      const { id } = await upload(target, jsonl([chatLine(target, "a", "Say hi.")]));
      const first = await created(target, { input_file_id: id });
      const second = await created(target, { input_file_id: id });
      assert.notEqual(first.id, second.id);
      for (const batch of [first, second]) {
        assert.equal((await ended(target, batch.id)).status, "completed");
      }
    },
  },
];
