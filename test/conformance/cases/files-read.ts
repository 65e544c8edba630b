// GET and DELETE of files, their content, and the File object.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok, refused, shown } from "../checks.ts";
import { completedBatch, contentOf, sharedInput, upload } from "../samples.ts";
import { type WireFile, deletedFileSchema, fileSchema } from "../schemas/file.ts";
import { type Page, pageSchema } from "../schemas/list.ts";
import type { Target } from "../target.ts";

const filePage = pageSchema(fileSchema);
const EMPTY = { object: "list", data: [], first_id: null, last_id: null, has_more: false };
const UNKNOWN = "file-AbCdEfGhJkLmNpQrStUvWx";
const LINE = '{"custom_id": "a"}\n';

async function list(target: Target, query = ""): Promise<Page<WireFile>> {
  return ok(await target.send(`/files${query}`), filePage);
}

async function idsOf(target: Target, query = ""): Promise<string[]> {
  return (await list(target, query)).data.map(({ id }) => id);
}

async function remove(target: Target, id: string) {
  return ok(await target.send(`/files/${id}`, { method: "DELETE" }), deletedFileSchema);
}

function unknown(id: string) {
  return { status: 404, code: null, param: "id", message: `No such File object: ${id}` };
}

/** Ids of three files of a purpose that nothing else here uses, oldest first. */
function threeFiles(target: Target): Promise<string[]> {
  return target.once("three files", async () => {
    const ids: string[] = [];
    for (const name of ["a", "b", "c"]) {
      const { id } = await upload(target, LINE, { purpose: "evals", filename: `${name}.jsonl` });
      ids.push(id);
    }
    return ids;
  });
}

/** A case that looks at the File object of a batch input. */
function input(row: string, name: string, look: (file: WireFile) => void): Case {
  return { row, name, run: async (target) => look(await sharedInput(target)) };
}

export const filesReadCases: readonly Case[] = [
  {
    row: "files.retrieve",
    name: "a file is retrieved as it was created",
    async run(target) {
      const file = await sharedInput(target);
      assert.deepEqual(ok(await target.send(`/files/${file.id}`), fileSchema), file);
    },
  },
  {
    row: "files.retrieve.unknown",
    name: "an unknown id is a 404 about `id`, on every route of one file",
    async run(target) {
      refused(await target.send(`/files/${UNKNOWN}`), unknown(UNKNOWN));
      refused(await target.send(`/files/${UNKNOWN}/content`), unknown(UNKNOWN));
      const answer = await target.send(`/files/${UNKNOWN}`, { method: "DELETE" });
      refused(answer, unknown(UNKNOWN));
    },
  },
  {
    row: "files.retrieve.foreign",
    name: "a file of another project is a 404 in the same words",
    needs: ["other-project"],
    async run(target) {
      const { id } = await sharedInput(target);
      const other = target.with("other-project");
      refused(await other.send(`/files/${id}`), unknown(id));
      refused(await other.send(`/files/${id}/content`), unknown(id));
      refused(await other.send(`/files/${id}`, { method: "DELETE" }), unknown(id));
      refused(await other.send(`/files?after=${id}`), { status: 404, param: "after" });
      assert.ok(!(await idsOf(other)).includes(id));
    },
  },
  {
    row: "files.delete",
    name: "the answer names the file as deleted, and then it is gone",
    async run(target) {
      const { id } = await upload(target, LINE);
      assert.deepEqual(await remove(target, id), { object: "file", id, deleted: true });
      for (const path of [`/files/${id}`, `/files/${id}/content`]) {
        refused(await target.send(path), unknown(id));
      }
      assert.ok(!(await idsOf(target, "?limit=100")).includes(id));
    },
  },
  {
    row: "files.delete.twice",
    name: "a second deletion is a 404",
    async run(target) {
      const { id } = await upload(target, LINE);
      await remove(target, id);
      refused(await target.send(`/files/${id}`, { method: "DELETE" }), unknown(id));
    },
  },
  {
    row: "files.content",
    name: "the bytes come back as they went, with their number and the file's name",
    async run(target) {
      const bytes = `${LINE}\n{"ü": "\u2028😀"}\r\n`;
      const { id } = await upload(target, bytes, { filename: "in.jsonl" });
      const { status, text, headers } = await target.send(`/files/${id}/content`);
      assert.deepEqual([status, text], [200, bytes]);
      assert.equal(headers.get("content-type"), "application/octet-stream");
      assert.equal(headers.get("content-length"), String(Buffer.byteLength(bytes)));
      assert.equal(headers.get("content-disposition"), 'attachment; filename="in.jsonl"');
    },
  },
  {
    row: "files.content.accept",
    name: "Accept: application/binary, as SDKs send it, is no obstacle",
    async run(target) {
      const { id, bytes } = await sharedInput(target);
      const headers = { accept: "application/binary" };
      const answer = await target.send(`/files/${id}/content`, { headers });
      assert.deepEqual([answer.status, answer.bytes.length], [200, bytes]);
    },
  },
  {
    row: "files.content.purpose",
    name: "batch inputs and outputs can be downloaded",
    async run(target) {
      const { input_file_id: input_, output_file_id: output } = await completedBatch(target);
      assert.ok((await contentOf(target, input_)).includes("good-1"));
      assert.ok((await contentOf(target, output!)).includes("good-1"));
    },
  },
  {
    row: "files.content.purpose-refused",
    name: "files of the purposes user_data and assistants can't",
    async run(target) {
      for (const purpose of ["user_data", "assistants"]) {
        const { id } = await upload(target, "anything", { purpose, filename: "a.txt" });
        refused(await target.send(`/files/${id}/content`), {
          status: 400,
          code: null,
          param: null,
          message: `Not allowed to download files of purpose: ${purpose}`,
        });
      }
    },
  },
  {
    row: "files.content.head",
    name: "HEAD gives the headers alone",
    needs: ["offpeak"],
    async run(target) {
      const { id, bytes } = await sharedInput(target);
      const answer = await target.send(`/files/${id}/content`, { method: "HEAD" });
      assert.deepEqual([answer.status, answer.bytes.length], [200, 0], shown(answer));
      assert.equal(answer.headers.get("content-length"), String(bytes));
    },
  },
  {
    row: "files.list",
    name: "a page names its first and its last file",
    async run(target) {
      await threeFiles(target);
      const { data, first_id: first, last_id: last } = await list(target, "?limit=2");
      assert.deepEqual([data[0]?.id, data[1]?.id], [first, last]);
    },
  },
  {
    row: "files.list.order",
    name: "newest first, oldest first with order=asc",
    async run(target) {
      const ids = await threeFiles(target);
      assert.deepEqual(await idsOf(target, "?purpose=evals&limit=3"), ids.toReversed());
      assert.deepEqual(await idsOf(target, "?purpose=evals&order=desc&limit=3"), ids.toReversed());
      const oldest = await idsOf(target, "?purpose=evals&order=asc");
      assert.deepEqual(oldest.slice(-3), ids);
    },
  },
  {
    row: "files.list.order-unknown",
    name: "any other order is refused, an empty one too, without code and param",
    async run(target) {
      for (const order of ["newest", "ASC", ""]) {
        const refusal = { status: 400, code: null, param: null };
        refused(await target.send(`/files?order=${order}`), refusal);
      }
    },
  },
  {
    row: "files.list.limit",
    name: "up to 10,000 files",
    async run(target) {
      await threeFiles(target);
      assert.equal((await list(target, "?limit=1")).data.length, 1);
      await list(target, "?limit=10000");
    },
  },
  {
    row: "files.list.limit-range",
    name: "0 and 10,001 are refused without code and param",
    async run(target) {
      for (const limit of ["0", "10001"]) {
        const refusal = { status: 400, code: null, param: null };
        refused(await target.send(`/files?limit=${limit}`), refusal);
      }
    },
  },
  {
    row: "files.list.purpose",
    name: "a purpose filters, an empty one does not",
    async run(target) {
      await threeFiles(target);
      await sharedInput(target);
      const found = (await list(target, "?purpose=evals")).data.map(({ purpose }) => purpose);
      assert.deepEqual([...new Set(found)], ["evals"]);
      const all = (await list(target, "?purpose=")).data.map(({ purpose }) => purpose);
      assert.ok(all.includes("evals") && all.includes("batch"));
    },
  },
  {
    row: "files.list.purpose",
    name: "purposes that only the server gives can be asked for",
    async run(target) {
      const { output_file_id: id } = await completedBatch(target);
      assert.ok((await idsOf(target, "?purpose=batch_output")).includes(id!));
    },
  },
  {
    row: "files.list.purpose-unknown",
    name: "an unknown purpose is refused, an upper-case one too",
    async run(target) {
      for (const purpose of ["batches", "BATCH"]) {
        const answer = await target.send(`/files?purpose=${purpose}`);
        refused(answer, { status: 400, param: "purpose" });
      }
    },
  },
  {
    row: "files.list.after",
    name: "`after` is exclusive, in both orders",
    async run(target) {
      const [a, b, c] = await threeFiles(target);
      assert.deepEqual(await idsOf(target, `?purpose=evals&limit=2&after=${c}`), [b, a]);
      assert.deepEqual(await idsOf(target, `?purpose=evals&order=asc&after=${a}`), [b, c]);
    },
  },
  {
    row: "files.list.after-last",
    name: "after the last file there is an empty page, no error",
    async run(target) {
      const [, , c] = await threeFiles(target);
      assert.deepEqual(await list(target, `?purpose=evals&order=asc&after=${c}`), EMPTY);
    },
  },
  {
    row: "files.list.after-unknown",
    name: "an unknown `after` is a 404 about `after`",
    async run(target) {
      const answer = await target.send(`/files?after=${UNKNOWN}`);
      refused(answer, { status: 404, code: null, param: "after" });
    },
  },
  {
    row: "files.list.after-deleted",
    name: "a walk goes on after a file that was deleted meanwhile",
    needs: ["offpeak"],
    async run(target) {
      const kept = await upload(target, LINE, { purpose: "vision" });
      const gone = await upload(target, LINE, { purpose: "vision" });
      await remove(target, gone.id);
      const rest = await idsOf(target, `?purpose=vision&limit=1&after=${gone.id}`);
      assert.deepEqual(rest, [kept.id]);
    },
  },
  {
    row: "files.list.has-more",
    name: "has_more is exact",
    async run(target) {
      const [a, b] = await threeFiles(target);
      const query = `?purpose=evals&order=asc&after=${a}&limit=`;
      assert.equal((await list(target, `${query}1`)).has_more, true);
      assert.equal((await list(target, `${query}2`)).has_more, false);
      assert.equal((await list(target, `?purpose=evals&order=asc&after=${b}`)).has_more, false);
    },
  },
  input("file", "nine members in their order", (file) =>
    assert.deepEqual(Object.keys(file), Object.keys(fileSchema.properties!)),
  ),
  input("file.id", "file- and 22 letters and digits", ({ id }) =>
    assert.match(id, /^file-[A-Za-z0-9]{22}$/),
  ),
  input("file.object", 'always "file"', (file) => has(file, { object: "file" })),
  input("file.purpose", "as it was sent", (file) => has(file, { purpose: "batch" })),
  {
    row: "file.purpose",
    name: "batch_output for the files of a batch",
    async run(target) {
      const batch = await completedBatch(target);
      for (const id of [batch.output_file_id, batch.error_file_id]) {
        has(ok(await target.send(`/files/${id}`), fileSchema), {
          purpose: "batch_output",
        });
      }
    },
  },
  input("file.filename", "as it was sent", (file) => has(file, { filename: "input.jsonl" })),
  {
    row: "file.bytes",
    name: "how many there are",
    async run(target) {
      const { id, bytes } = await sharedInput(target);
      assert.equal((await target.send(`/files/${id}/content`)).bytes.length, bytes);
    },
  },
  input("file.created_at", "whole seconds, now", ({ created_at: at }) => {
    assert.ok(Math.abs(Date.now() / 1_000 - at) < 7_200, String(at));
  }),
  input("file.expires_at", "whole seconds, or null", ({ expires_at: at }) =>
    assert.ok(Number.isInteger(at)),
  ),
  input("file.status", "processed, at once", (file) => has(file, { status: "processed" })),
  input("file.status_details", "null", (file) => has(file, { status_details: null })),
];
