// Idempotency-Key on the routes that create something: nothing is made twice.
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import {
  batchForm,
  batchPart,
  form,
  formBody,
  formHeaders,
  partForm,
  withBoundary,
} from "../../support/multipart-form.ts";
import { type Answer, type RawRequest, json, send } from "../../support/raw-http.ts";
import { newBatch } from "./refusal.ts";

const DAY_MS = 86_400_000;
const newUpload = { filename: "a", purpose: "evals", bytes: 3, mime_type: "text/plain" };

export function idempotencySuite(startApi: StartApi): void {
  describe("idempotency keys", () => {
    let api: ApiStack;
    let keys = 0;

    beforeAll(async () => {
      api = await startApi();
    });
    afterAll(() => api.close());

    const newKey = () => `key ${++keys}`;
    const idOf = ({ json: body }: Answer) => (body as { id: string }).id;

    function post(path: string, key: string, { headers, body }: RawRequest): Promise<Answer> {
      const sent = { ...headers, "idempotency-key": key };
      return send(api.baseUrl, path, { method: "POST", headers: sent, ...(body && { body }) });
    }

    const createUpload = async () => idOf(await post("/v1/uploads", newKey(), json(newUpload)));

    const reused = (how: string) => ({
      status: 409,
      headers: { "x-should-retry": "false" },
      json: {
        error: {
          message: `This Idempotency-Key was used before ${how}. Use a new key for each new request.`,
          type: "invalid_request_error",
          param: null,
          code: "idempotency_key_reused",
        },
      },
    });

    interface Case {
      path: () => Promise<string>;
      same: readonly [RawRequest, RawRequest];
      others: readonly RawRequest[];
    }
    const purpose = { name: "purpose", value: "batch" };
    const seconds = { name: "expires_after.seconds", value: "3600" };
    const cases: Record<string, Case> = {
      "a batch": {
        path: () => Promise.resolve("/v1/batches"),
        same: [
          json({ ...newBatch, metadata: { a: "1", b: "2" } }),
          json({ metadata: { b: "2", a: "1" }, user: "x", ...newBatch }),
        ],
        others: [json({ ...newBatch, metadata: { a: "1", b: "3" } }), json(newBatch)],
      },
      "a file": {
        path: () => Promise.resolve("/v1/files"),
        same: [form(purpose, batchPart), withBoundary("another", batchPart, purpose)],
        others: [
          form(purpose, { ...batchPart, value: '{"custom_id":"b"}\n' }),
          form(purpose, { ...batchPart, filename: "other.jsonl" }),
          form({ ...purpose, value: "evals" }, batchPart),
          form(purpose, batchPart, seconds),
        ],
      },
      "an upload": {
        path: () => Promise.resolve("/v1/uploads"),
        same: [json(newUpload), json({ ...newUpload, expires_after: null })],
        others: [json({ ...newUpload, bytes: 4 }), json({ ...newUpload, mime_type: "a/b" })],
      },
      "a part": {
        path: async () => `/v1/uploads/${await createUpload()}/parts`,
        same: [
          partForm("abc"),
          withBoundary("another", { name: "data", value: "abc", filename: "x" }),
        ],
        others: [partForm("abd")],
      },
    };

    describe.each(Object.entries(cases))("%s", (_name, { path: makePath, same, others }) => {
      test("is made once, and given again to whoever asks the same", async () => {
        const [path, key] = [await makePath(), newKey()];
        const first = await post(path, key, same[0]);
        expect(first.status).toBe(200);
        expect(first.headers).not.toHaveProperty("idempotent-replayed");
        const again = await post(path, key, same[1]);
        expect(again).toMatchObject({
          status: 200,
          json: first.json,
          headers: { "idempotent-replayed": "true" },
        });
        const fresh = await post(path, newKey(), same[0]);
        expect(fresh.status).toBe(200);
        expect(idOf(fresh)).not.toBe(idOf(first));
      });

      test("is not made for another request under its key", async () => {
        const [path, key] = [await makePath(), newKey()];
        await post(path, key, same[0]);
        for (const other of others) {
          expect(await post(path, key, other)).toMatchObject(reused("with other content"));
        }
        expect((await post(path, key, same[0])).headers).toHaveProperty("idempotent-replayed");
      });
    });

    test("a key is forgotten after a day", async () => {
      const own = await startApi();
      const headers = { "content-type": "application/json", "idempotency-key": "daily" };
      const body = JSON.stringify(newBatch);
      const ask = async () =>
        idOf(await send(own.baseUrl, "/v1/batches", { method: "POST", headers, body }));
      const first = await ask();
      own.passTime(DAY_MS - 60_000);
      expect(await ask()).toBe(first);
      own.passTime(60_000);
      expect(await ask()).not.toBe(first);
      await own.close();
    });

    test("the object is given as it is now", async () => {
      const key = newKey();
      const first = await post("/v1/batches", key, json(newBatch));
      await send(api.baseUrl, `/v1/batches/${idOf(first)}/cancel`, { method: "POST" });
      expect(await post("/v1/batches", key, json(newBatch))).toMatchObject({
        status: 200,
        json: { id: idOf(first), status: "cancelling" },
      });
      const fileKey = newKey();
      const fileId = idOf(await post("/v1/files", fileKey, batchForm()));
      await send(api.baseUrl, `/v1/files/${fileId}`, { method: "DELETE" });
      expect(await post("/v1/files", fileKey, batchForm())).toMatchObject({
        status: 404,
        json: { error: { message: `No such File object: ${fileId}` } },
      });
    });

    test("a key of one route is none of another's", async () => {
      const key = newKey();
      await post("/v1/batches", key, json(newBatch));
      expect(await post("/v1/uploads", key, json(newUpload))).toMatchObject(
        reused("for POST /v1/batches"),
      );
      expect(await post("/v1/files", key, batchForm())).toMatchObject(
        reused("for POST /v1/batches"),
      );
    });

    test("while the first request runs the second is told to come again, and gets its answer then", async () => {
      const key = newKey();
      const { hostname, port } = new URL(api.baseUrl);
      const headers = { ...formHeaders, "idempotency-key": key };
      const first = request({ hostname, port, path: "/v1/files", method: "POST", headers });
      const answered = new Promise<number | undefined>((resolve) =>
        first.on("response", (response) => resolve(response.resume().statusCode)),
      );
      const body = formBody([purpose, batchPart]);
      first.write(body.subarray(0, -20));
      await vi.waitFor(() => expect(api.unfinishedBlobs()).toBe(1), {
        timeout: 10_000,
      });
      const second = await post("/v1/files", key, batchForm());
      expect(second).toMatchObject({
        status: 409,
        headers: { "retry-after": "1" },
        json: { error: { code: "idempotency_key_in_use" } },
      });
      expect(second.headers).not.toHaveProperty("x-should-retry");
      first.end(body.subarray(-20));
      expect(await answered).toBe(200);
      expect(await post("/v1/files", key, batchForm())).toMatchObject({
        status: 200,
        headers: { "idempotent-replayed": "true" },
      });
      expect(api.unfinishedBlobs()).toBe(0);
    });

    test("of requests at once under one key exactly one makes something", async () => {
      const key = newKey();
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => post("/v1/batches", key, json(newBatch))),
      );
      const made = answers.filter(({ status }) => status === 200);
      expect(new Set(made.map(idOf)).size).toBe(1);
      const others = answers.filter((answer) => !made.includes(answer));
      expect(others.every(({ status }) => status === 409)).toBe(true);
    });

    test("a refused request frees its key, whatever refused it", async () => {
      const refused: [string, RawRequest, RawRequest][] = [
        ["/v1/batches", json({ ...newBatch, completion_window: "1h" }), json(newBatch)],
        ["/v1/files", form(purpose), batchForm()],
        ["/v1/files", batchForm({ ...seconds, value: "1" }), batchForm()],
        ["/v1/uploads", json({ ...newUpload, purpose: "x" }), json(newUpload)],
        ["/v1/uploads/upload_x/parts", partForm("x"), partForm("x")],
      ];
      for (const [path, bad, good] of refused) {
        const key = newKey();
        const first = await post(path, key, bad);
        const second = await post(path, key, good);
        expect([path, first.status < 409, second.status < 409]).toEqual([path, true, true]);
      }
    });

    test("a client that leaves in the middle frees its key", async () => {
      const key = newKey();
      const { hostname, port } = new URL(api.baseUrl);
      const headers = { ...formHeaders, "idempotency-key": key };
      const first = request({ hostname, port, path: "/v1/files", method: "POST", headers });
      first.on("error", () => {});
      first.write(formBody([purpose, batchPart]).subarray(0, -20));
      await vi.waitFor(() => expect(api.unfinishedBlobs()).toBe(1), {
        timeout: 10_000,
      });
      first.destroy();
      await vi.waitFor(
        async () =>
          expect(await post("/v1/files", key, batchForm())).toMatchObject({ status: 200 }),
        { timeout: 10_000 },
      );
    });

    test("a request that runs for over an hour makes nothing when its key went to another", async () => {
      const slow = await startApi();
      const insert = slow.store.batches.insert.bind(slow.store.batches);
      const ask = () =>
        send(slow.baseUrl, "/v1/batches", {
          method: "POST",
          headers: { "content-type": "application/json", "idempotency-key": "slow" },
          body: JSON.stringify(newBatch),
        });
      let second: Answer | undefined;
      vi.spyOn(slow.store.batches, "insert").mockImplementationOnce(async (batch, options) => {
        slow.passTime(3_600_000);
        second = await ask();
        return insert(batch, options);
      });
      const first = await ask();
      expect(first).toMatchObject({ status: 409, headers: { "retry-after": "1" } });
      expect(second).toMatchObject({ status: 200 });
      expect(idOf(await ask())).toBe(idOf(second as Answer));
      await slow.close();
    });

    test.each([
      ["empty", ""],
      ["too long", "x".repeat(256)],
      ["beyond ASCII", "é"],
      ["with a tab", "a\tb"],
    ])("a key that is %s is refused", async (_name, key) => {
      const answer = await post("/v1/batches", key, json(newBatch));
      expect(answer).toMatchObject({
        status: 400,
        json: { error: { code: "invalid_idempotency_key", param: null } },
      });
    });

    test("a key may have 255 characters, and belongs to one project", async () => {
      const own = await startApi();
      const projects = [await own.keys.create("one"), await own.keys.create("other")];
      const ids = [];
      for (const { key } of projects) {
        const headers = {
          ...json(newBatch).headers,
          authorization: `Bearer ${key}`,
          "idempotency-key": "~".repeat(255),
        };
        const body = JSON.stringify(newBatch);
        ids.push(idOf(await send(own.baseUrl, "/v1/batches", { method: "POST", headers, body })));
      }
      expect(new Set(ids).size).toBe(2);
      await own.close();
    });
  });
}
