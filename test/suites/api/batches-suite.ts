// Batches over the wire: create, look, list, cancel, in every status.
import OpenAI, { ConflictError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchStatuses } from "../../../src/core/batch.ts";
import { endpointPaths } from "../../../src/core/endpoints.ts";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { bring } from "../../support/batch-states.ts";
import { type Answer, json, send } from "../../support/raw-http.ts";

const BATCH_MEMBERS = [
  "id",
  "object",
  "endpoint",
  "model",
  "errors",
  "input_file_id",
  "completion_window",
  "status",
  "output_file_id",
  "error_file_id",
  "created_at",
  "in_progress_at",
  "expires_at",
  "finalizing_at",
  "completed_at",
  "failed_at",
  "expired_at",
  "cancelling_at",
  "cancelled_at",
  "request_counts",
  "usage",
  "metadata",
];

const timesByStatus: Record<string, string[]> = {
  validating: [],
  failed: ["failed_at"],
  in_progress: ["in_progress_at"],
  finalizing: ["in_progress_at", "finalizing_at"],
  completed: ["in_progress_at", "finalizing_at", "completed_at"],
  cancelling: ["in_progress_at", "cancelling_at"],
  cancelled: ["in_progress_at", "cancelling_at", "cancelled_at"],
  expired: ["in_progress_at", "expired_at"],
};

const newBatch = {
  input_file_id: "file-AbCdEfGhJkLmNpQrStUvWx",
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
} as const;

export function batchesSuite(startApi: StartApi): void {
  describe("batches", () => {
    let api: ApiStack;
    let openai: OpenAI;

    beforeAll(async () => {
      api = await startApi();
      openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any" });
    });
    afterAll(() => api.close());

    const post = (path: string, body: unknown) =>
      send(api.baseUrl, path, { method: "POST", ...json(body) });
    const idOf = (answer: Answer) => (answer.json as { id: string }).id;

    test("a new batch is validating, and expires 24 hours after its creation", async () => {
      let signalled = 0;
      const off = api.signals.on("batch-created", () => signalled++);
      const before = Math.floor(Date.now() / 1000);
      const batch = await openai.batches.create({ ...newBatch, metadata: { team: "search" } });
      off();
      expect(signalled).toBe(1);
      expect(batch).toMatchObject({
        object: "batch",
        ...newBatch,
        status: "validating",
        request_counts: { total: 0, completed: 0, failed: 0 },
        metadata: { team: "search" },
      });
      expect(batch.id).toBe(`batch_${batch.created_at.toString(16)}${batch.id.slice(14)}`);
      expect(batch.id).toMatch(/^batch_[0-9a-f]{32}$/);
      expect(batch.created_at).toBeGreaterThanOrEqual(before);
      expect(batch.expires_at).toBe(batch.created_at + 86_400);
      expect(await openai.batches.retrieve(batch.id)).toEqual(batch);
    });

    test.each(endpointPaths)("a batch can be made for %s", async (endpoint) => {
      const answer = await post("/v1/batches", { ...newBatch, endpoint });
      expect(answer).toMatchObject({ status: 200, json: { endpoint } });
    });

    test.each(batchStatuses)("all members are there, in order, when %s", async (status) => {
      const id = idOf(await post("/v1/batches", newBatch));
      await bring(api.store, { id }, status);
      const answer = await send(api.baseUrl, `/v1/batches/${id}`);
      const batch = answer.json as Record<string, unknown>;
      expect(Object.keys(batch)).toEqual(BATCH_MEMBERS);
      expect(batch["status"]).toBe(status);
      const set = Object.keys(batch).filter((key) => key.endsWith("_at") && batch[key] !== null);
      expect(set.toSorted()).toEqual(
        ["created_at", "expires_at", ...(timesByStatus[status] as string[])].toSorted(),
      );
      for (const key of set) expect(Number.isInteger(batch[key])).toBe(true);
      expect(batch["usage"]).toEqual({
        input_tokens: 0,
        output_tokens: 0,
        total_tokens: 0,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens_details: { reasoning_tokens: 0 },
      });
      expect(batch["errors"]).toEqual(
        status === "failed"
          ? {
              object: "list",
              data: [{ code: "invalid_json_line", message: "Bad.", param: null, line: 2 }],
            }
          : null,
      );
    });

    test("metadata and output_expires_after are taken at their limits, and may be null", async () => {
      const metadata = Object.fromEntries(
        Array.from({ length: 16 }, (_, index) => [
          "😀".repeat(62) + (10 + index),
          "é😀".repeat(256),
        ]),
      );
      for (const seconds of [3_600, 2_592_000]) {
        const created = await post("/v1/batches", {
          ...newBatch,
          metadata,
          output_expires_after: { anchor: "created_at", seconds },
        });
        expect(created.json).toMatchObject({ metadata });
        expect(created.json).not.toHaveProperty("output_expires_after");
        const stored = await api.store.batches.get("default", idOf(created));
        expect(stored?.outputExpiresAfterSeconds).toBe(seconds);
      }
      const nulls = { ...newBatch, metadata: null, output_expires_after: null };
      expect((await post("/v1/batches", nulls)).json).toMatchObject({ metadata: null });
      expect((await post("/v1/batches", { ...newBatch, metadata: {} })).json).toMatchObject({
        metadata: {},
      });
    });

    test("metadata keys with a meaning in JavaScript are plain keys", async () => {
      const body = JSON.stringify(newBatch).replace(
        "}",
        ',"metadata":{"__proto__":"a","constructor":"b","toString":"c"}}',
      );
      const headers = { "content-type": "application/json" };
      const created = await send(api.baseUrl, "/v1/batches", { method: "POST", headers, body });
      expect(created.text).toContain(
        '"metadata":{"__proto__":"a","constructor":"b","toString":"c"}',
      );
      const read = await send(api.baseUrl, `/v1/batches/${idOf(created)}`);
      expect(read.text).toBe(created.text);
    });

    test("members it does not know are ignored", async () => {
      const answer = await post("/v1/batches", { ...newBatch, priority: 1, __proto__: {} });
      expect(answer.status).toBe(200);
    });

    test("JSON with a charset, in chunks, is JSON", async () => {
      const bytes = Buffer.from(JSON.stringify(newBatch));
      const answer = await send(api.baseUrl, "/v1/batches", {
        method: "POST",
        headers: { "content-type": "application/json; charset=UTF-8" },
        body: [bytes.subarray(0, 7), bytes.subarray(7)],
      });
      expect(answer.status).toBe(200);
    });

    describe("cancel", () => {
      test.each(["validating", "in_progress", "finalizing"] as const)(
        "begins when %s",
        async (status) => {
          const { id } = await openai.batches.create(newBatch);
          await bring(api.store, { id }, status);
          let signalled = 0;
          const off = api.signals.on("batch-ending", () => signalled++);
          const cancelled = await openai.batches.cancel(id);
          off();
          expect(signalled).toBe(1);
          expect(cancelled).toMatchObject({ id, status: "cancelling" });
          expect(Number.isInteger(cancelled.cancelling_at)).toBe(true);
        },
      );

      test.each(["cancelling", "cancelled"] as const)("changes nothing when %s", async (status) => {
        const { id } = await openai.batches.create(newBatch);
        await bring(api.store, { id }, status);
        const before = await send(api.baseUrl, `/v1/batches/${id}`);
        const answer = await send(api.baseUrl, `/v1/batches/${id}/cancel`, { method: "POST" });
        expect(answer).toMatchObject({ status: 200, text: before.text });
      });

      test("is refused once and for all when the batch has ended", async () => {
        const { id } = await openai.batches.create(newBatch);
        await bring(api.store, { id }, "failed");
        const requests = () => api.log.filter((line) => line.includes("/cancel")).length;
        const before = requests();
        await expect(openai.batches.cancel(id)).rejects.toBeInstanceOf(ConflictError);
        expect(requests() - before).toBe(1);
      });

      test.each([
        ["no body and no type", undefined, undefined],
        ["no body of type JSON", "application/json", undefined],
        ["an empty body of type JSON", "application/json", ""],
        ["an empty chunked body of type JSON", "application/json", []],
        ["an empty form", "application/x-www-form-urlencoded", ""],
        ["an empty object", "application/json", "{}"],
        ["null", "application/json", "null"],
      ])("takes %s", async (_name, type, body) => {
        const { id } = await openai.batches.create(newBatch);
        const answer = await send(api.baseUrl, `/v1/batches/${id}/cancel`, {
          method: "POST",
          ...(type === undefined ? {} : { headers: { "content-type": type } }),
          ...(body === undefined ? {} : { body }),
        });
        expect(answer).toMatchObject({ status: 200, json: { status: "cancelling" } });
      });
    });

    test("why a batch waits stands in a header, in plain ASCII", async () => {
      const { id } = await openai.batches.create(newBatch);
      const reason = () =>
        send(api.baseUrl, `/v1/batches/${id}`).then(
          ({ headers }) => headers["offpeak-waiting-reason"],
        );
      expect(await reason()).toBeUndefined();
      await api.store.batches.setWaitingReason(
        [id],
        `llama is paused:\r\nnot reachable ${"😀é".repeat(400)}`,
      );
      expect(await reason()).toBe("llama is paused:?not reachable ?");
      await api.store.batches.setWaitingReason([id], "x".repeat(10_000));
      expect(await reason()).toBe("x".repeat(500));
      const cancelled = await send(api.baseUrl, `/v1/batches/${id}/cancel`, { method: "POST" });
      expect(cancelled.headers["offpeak-waiting-reason"]).toBe("x".repeat(500));
    });

    describe("list", () => {
      let own: ApiStack;
      let ids: string[];

      beforeAll(async () => {
        own = await startApi();
        ids = [];
        for (let index = 0; index < 25; index += 1) {
          const answer = await send(own.baseUrl, "/v1/batches", {
            method: "POST",
            ...json(newBatch),
          });
          ids.unshift(idOf(answer));
        }
      });
      afterAll(() => own.close());

      async function listed(
        query: string,
      ): Promise<{ ids: string[]; hasMore: boolean; json: unknown }> {
        const answer = await send(own.baseUrl, `/v1/batches${query}`);
        expect(answer.status).toBe(200);
        const page = answer.json as { data: { id: string }[]; has_more: boolean };
        return { ids: page.data.map(({ id }) => id), hasMore: page.has_more, json: answer.json };
      }

      test("is newest first, 20 at a time", async () => {
        const page = await listed("");
        expect(page).toMatchObject({ ids: ids.slice(0, 20), hasMore: true });
        expect(page.json).toMatchObject({ object: "list", first_id: ids[0], last_id: ids[19] });
      });

      test("comes in pages whose has_more is exact and whose cursor is exclusive", async () => {
        expect(await listed("?limit=25")).toMatchObject({ ids, hasMore: false });
        expect(await listed("?limit=24")).toMatchObject({ ids: ids.slice(0, 24), hasMore: true });
        expect(await listed(`?after=${ids[4]}`)).toMatchObject({
          ids: ids.slice(5),
          hasMore: false,
        });
        expect(await listed(`?limit=1&after=${ids[0]}`)).toMatchObject({
          ids: [ids[1]],
          hasMore: true,
        });
        expect(await listed("?limit=100")).toMatchObject({ ids, hasMore: false });
      });

      test.each([["?limit=0"], ["?limit=0&after=nothing"]])("is empty for %s", async (query) => {
        expect((await listed(query)).json).toEqual({
          object: "list",
          data: [],
          first_id: null,
          last_id: null,
          has_more: false,
        });
      });

      test("is empty after the last id, without an error", async () => {
        expect(await listed(`?after=${ids.at(-1)}`)).toMatchObject({ ids: [], hasMore: false });
      });

      test("is walked whole by an SDK in small pages", async () => {
        const client = new OpenAI({ baseURL: `${own.baseUrl}/v1`, apiKey: "any" });
        const walked: string[] = [];
        for await (const { id } of client.batches.list({ limit: 7 })) walked.push(id);
        expect(walked).toEqual(ids);
      });

      test("ignores keys it does not know, and takes the last of repeated ones", async () => {
        expect((await listed("?order=asc&state=failed&limit=2")).ids).toEqual(ids.slice(0, 2));
        expect((await listed("?limit=1&limit=3&after=")).ids).toEqual(ids.slice(0, 3));
      });
    });
  });
}
