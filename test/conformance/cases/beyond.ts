// What goes beyond OpenAI: idempotency keys, filters, ranges, further endpoints, names for models.
import { strict as assert } from "node:assert";
import { ALIAS, type Case, type Need } from "../case.ts";
import { has, ok, refused, shown } from "../checks.ts";
import {
  CHAT,
  chatLine,
  completedBatch,
  createBatch,
  failedBatch,
  fileForm,
  newBatch,
  results,
  sharedInput,
  untilStatus,
  validatingBatch,
} from "../samples.ts";
import { type WireBatch, batchSchema } from "../schemas/batch.ts";
import { fileSchema } from "../schemas/file.ts";
import { pageSchema } from "../schemas/list.ts";
import { uploadSchema } from "../schemas/upload.ts";
import { type Answer, type Target, until } from "../target.ts";

const offpeak: readonly Need[] = ["offpeak"];
const batchPage = pageSchema(batchSchema);
const LINE = '{"custom_id": "a"}\n';

function freshKey(): string {
  return `conformance-${crypto.randomUUID()}`;
}

async function create(target: Target, key: string, members: object = {}): Promise<Answer> {
  const body = { ...(await newBatch(target)), ...members };
  return target.post("/batches", body, { "idempotency-key": key });
}

function idOf(answer: Answer): string {
  assert.equal(answer.status, 200, shown(answer));
  return (answer.json as { id: string }).id;
}

function isReplayed({ headers }: Answer): boolean {
  return headers.get("idempotent-replayed") === "true";
}

async function listed(target: Target, query: string): Promise<WireBatch[]> {
  return ok(await target.send(`/batches?${query}`), batchPage).data;
}

/** A part of the shared input's bytes, as it is answered, and the whole. */
async function ranged(target: Target, headers: Record<string, string>) {
  const { id } = await sharedInput(target);
  const whole = (await target.send(`/files/${id}/content`)).bytes;
  return { whole, answer: await target.send(`/files/${id}/content`, { headers }) };
}

const idempotencyCases: readonly Case[] = [
  {
    row: "beyond.idempotency",
    name: "a batch created again under its key is the same batch, and the answer says so",
    needs: offpeak,
    async run(target) {
      const key = freshKey();
      const first = await create(target, key, { metadata: { a: "1", b: "2" } });
      const again = await create(target, key, { metadata: { b: "2", a: "1" } });
      assert.equal(idOf(again), idOf(first));
      assert.deepEqual([isReplayed(first), isReplayed(again)], [false, true]);
      assert.notEqual(idOf(await create(target, freshKey())), idOf(first));
    },
  },
  {
    row: "beyond.idempotency",
    name: "so is a file, whatever the boundary of its form",
    needs: offpeak,
    async run(target) {
      const headers = { "idempotency-key": freshKey() };
      const send = () => target.send("/files", { method: "POST", headers, body: fileForm(LINE) });
      const [first, again] = [await send(), await send()];
      assert.deepEqual(ok(again, fileSchema), ok(first, fileSchema));
      assert.deepEqual([isReplayed(first), isReplayed(again)], [false, true]);
    },
  },
  {
    row: "beyond.idempotency",
    name: "so is an upload in parts",
    needs: offpeak,
    async run(target) {
      const headers = { "idempotency-key": freshKey() };
      const body = { filename: "a.jsonl", purpose: "batch", bytes: 9, mime_type: "text/plain" };
      const first = await target.post("/uploads", body, headers);
      const again = await target.post("/uploads", body, headers);
      assert.deepEqual(ok(again, uploadSchema), ok(first, uploadSchema));
      assert.ok(isReplayed(again));
    },
  },
  {
    row: "beyond.idempotency.reused",
    name: "a key with other content, or on another route, is a 409",
    needs: offpeak,
    async run(target) {
      const key = freshKey();
      idOf(await create(target, key));
      const refusal = { status: 409, code: "idempotency_key_reused" };
      refused(await create(target, key, { metadata: { a: "b" } }), refusal);
      const headers = { "idempotency-key": key };
      const form = { method: "POST", headers, body: fileForm(LINE) };
      refused(await target.send("/files", form), refusal);
    },
  },
  {
    row: "beyond.idempotency.at-once",
    name: "of requests under one key at the same time one makes something",
    needs: offpeak,
    async run(target) {
      const key = freshKey();
      const answers = await Promise.all(Array.from({ length: 5 }, () => create(target, key)));
      const done = answers.filter(({ status }) => status === 200);
      assert.ok(done.length > 0);
      assert.equal(new Set(done.map(idOf)).size, 1);
      for (const answer of answers.filter((one) => !done.includes(one))) {
        refused(answer, { status: 409, code: "idempotency_key_in_use" });
        assert.notEqual(answer.headers.get("x-should-retry"), "false");
      }
    },
  },
  {
    row: "beyond.idempotency.refused",
    name: "a request that was refused leaves its key free",
    needs: offpeak,
    async run(target) {
      const key = freshKey();
      refused(await create(target, key, { completion_window: "soon" }), { status: 400 });
      const made = await create(target, key);
      const again = await create(target, key);
      assert.deepEqual([isReplayed(made), isReplayed(again)], [false, true]);
    },
  },
  {
    row: "beyond.idempotency.key",
    name: "an empty key and one of 256 characters are refused",
    needs: offpeak,
    async run(target) {
      for (const key of ["", "k".repeat(256)]) {
        refused(await create(target, key), { status: 400, code: "invalid_idempotency_key" });
      }
    },
  },
  {
    row: "beyond.idempotency.project",
    name: "projects do not share keys",
    needs: ["offpeak", "other-project"],
    async run(target) {
      const headers = { "idempotency-key": freshKey() };
      const send = (from: Target) =>
        from.send("/files", { method: "POST", headers, body: fileForm(LINE) });
      const own = ok(await send(target), fileSchema);
      const other = ok(await send(target.with("other-project")), fileSchema);
      assert.notEqual(own.id, other.id);
    },
  },
];

const filterCases: readonly Case[] = [
  {
    row: "beyond.filter.status",
    name: "?status= lists batches of one status",
    needs: offpeak,
    async run(target) {
      const { id } = await failedBatch(target);
      const failed = await listed(target, "status=failed&limit=100");
      assert.ok(failed.some((batch) => batch.id === id));
      assert.deepEqual([...new Set(failed.map(({ status }) => status))], ["failed"]);
      refused(await target.send("/batches?status=done"), { status: 400, param: "status" });
    },
  },
  {
    row: "beyond.filter.model",
    name: "?model= lists batches of one model",
    needs: offpeak,
    async run(target) {
      const { id, model } = await completedBatch(target);
      const query = new URLSearchParams({ model: model!, limit: "100" });
      const found = await listed(target, query.toString());
      assert.ok(found.some((batch) => batch.id === id));
      assert.deepEqual(await listed(target, "model=gpt-99"), []);
    },
  },
  {
    row: "beyond.filter.metadata",
    name: "?metadata[key]= lists batches whose metadata has all the pairs asked for",
    needs: offpeak,
    async run(target) {
      const run = crypto.randomUUID();
      const make = async (more: object) =>
        ok(
          await target.post("/batches", {
            ...(await newBatch(target)),
            metadata: { run, ...more },
          }),
          batchSchema,
        ).id;
      const [a, b] = [await make({ part: "a" }), await make({ part: "b" })];
      const ids = async (query: string) => (await listed(target, query)).map(({ id }) => id);
      assert.deepEqual(await ids(`metadata[run]=${run}`), [b, a]);
      assert.deepEqual(await ids(`metadata[run]=${run}&metadata[part]=a`), [a]);
      assert.deepEqual(await ids(`metadata%5Brun%5D=${run}&metadata%5Bpart%5D=c`), []);
    },
  },
  {
    row: "beyond.filter.created-after",
    name: "?created_after= lists batches created after that second",
    needs: offpeak,
    async run(target) {
      const { created_at: at } = await completedBatch(target);
      const later = await listed(target, `created_after=${at}&limit=100`);
      for (const batch of later) assert.ok(batch.created_at > at);
      const query = `created_after=${at - 1}&status=completed&limit=100`;
      assert.ok((await listed(target, query)).length > 0);
      const answer = await target.send("/batches?created_after=yesterday");
      refused(answer, { status: 400, param: "created_after" });
    },
  },
  {
    row: "beyond.filter.pages",
    name: "filters hold for every page of a walk",
    needs: offpeak,
    async run(target) {
      const { id } = await failedBatch(target);
      const walked: string[] = [];
      const query = { query: { status: "failed" } };
      for await (const batch of target.openai.batches.list({ limit: 1 }, query)) {
        assert.equal(batch.status, "failed");
        walked.push(batch.id);
      }
      assert.ok(walked.includes(id));
      assert.equal(new Set(walked).size, walked.length);
    },
  },
];

const contentCases: readonly Case[] = [
  {
    row: "beyond.range",
    name: "a range of bytes is a 206 with just these",
    needs: offpeak,
    async run(target) {
      const { whole, answer } = await ranged(target, { range: "bytes=5-14" });
      assert.equal(answer.status, 206);
      assert.deepEqual(answer.bytes, whole.subarray(5, 15));
      assert.equal(answer.headers.get("content-range"), `bytes 5-14/${whole.length}`);
      assert.equal(answer.headers.get("content-length"), "10");
    },
  },
  {
    row: "beyond.range",
    name: "so is everything from a byte on, and the last bytes",
    needs: offpeak,
    async run(target) {
      const from = await ranged(target, { range: "bytes=7-" });
      assert.deepEqual(from.answer.bytes, from.whole.subarray(7));
      const last = await ranged(target, { range: "bytes=-9" });
      assert.deepEqual(last.answer.bytes, last.whole.subarray(-9));
      assert.deepEqual([from.answer.status, last.answer.status], [206, 206]);
    },
  },
  {
    row: "beyond.range",
    name: "a whole answer says that ranges may be asked for",
    needs: offpeak,
    async run(target) {
      const { answer } = await ranged(target, {});
      assert.deepEqual([answer.status, answer.headers.get("accept-ranges")], [200, "bytes"]);
    },
  },
  {
    row: "beyond.range.unsatisfiable",
    name: "a range behind the end is a 416 that says where the end is",
    needs: offpeak,
    async run(target) {
      const { whole, answer } = await ranged(target, { range: "bytes=1000000-" });
      refused(answer, { status: 416 });
      assert.equal(answer.headers.get("content-range"), `bytes */${whole.length}`);
    },
  },
  {
    row: "beyond.etag",
    name: "content has an ETag; If-Range with it gives the range, with another one the whole",
    needs: offpeak,
    async run(target) {
      const { answer: first } = await ranged(target, {});
      const etag = first.headers.get("etag") ?? "";
      assert.match(etag, /^"[^"]+"$/);
      const range = "bytes=0-3";
      const same = await ranged(target, { range, "if-range": etag });
      const other = await ranged(target, { range, "if-range": '"other"' });
      assert.deepEqual([same.answer.status, other.answer.status], [206, 200]);
      assert.deepEqual(other.answer.bytes, other.whole);
    },
  },
];

export const beyondCases: readonly Case[] = [
  ...idempotencyCases,
  ...filterCases,
  ...contentCases,
  {
    row: "beyond.waiting-reason",
    name: "a batch that does not move says why, in a header",
    needs: ["unreachable-upstream"],
    async run(target) {
      const server = target.with("unreachable-upstream");
      const { id } = await validatingBatch(server);
      const reason = await until("a reason", async () => {
        const { headers } = await server.send(`/batches/${id}`);
        return headers.get("offpeak-waiting-reason") ?? undefined;
      });
      assert.match(reason, /^[\x20-\x7e]+$/);
      assert.match(reason, /upstream/);
    },
  },
  {
    row: "beyond.waiting-reason",
    name: "… and one that has ended does not",
    needs: ["offpeak"],
    async run(target) {
      const { id } = await completedBatch(target);
      const { headers } = await target.send(`/batches/${id}`);
      assert.equal(headers.get("offpeak-waiting-reason"), null);
    },
  },
  {
    row: "beyond.endpoints",
    name: "an endpoint that an upstream is configured for can be batched",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const url = "/v1/rerank";
      const body = { model: server.model, query: "boats", documents: ["a ship", "a tree"] };
      const line = { custom_id: "a", method: "POST", url, body };
      const { id } = await createBatch(server, [line], { endpoint: url });
      const batch = await untilStatus(server, id, "completed");
      const [result] = await results(server, batch.output_file_id);
      assert.ok("results" in result!.response!.body, JSON.stringify(result));
    },
  },
  {
    row: "beyond.model-aliases",
    name: "a model may be named by an alias, which the list of models has too",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const body = { model: ALIAS, messages: [{ role: "user", content: "Say hi." }] };
      const line = { custom_id: "a", method: "POST", url: CHAT, body };
      const { id } = await createBatch(server, [line]);
      has(await untilStatus(server, id, "completed"), { model: server.model });
      assert.equal((await server.send(`/models/${ALIAS}`)).status, 200);
    },
  },
  {
    row: "beyond.several-models",
    name: "where several models are allowed a file may name more than one",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const body = { model: ALIAS, messages: [{ role: "user", content: "Say hi." }] };
      const lines = [
        chatLine(server, "a", "Hi"),
        { custom_id: "b", method: "POST", url: CHAT, body },
      ];
      const batch = await untilStatus(server, (await createBatch(server, lines)).id, "completed");
      assert.deepEqual(batch.request_counts, { total: 2, completed: 2, failed: 0 });
    },
  },
];
