// What a project may have: stored bytes, batches per hour, completion windows, endpoints.
import { describe, expect, test, vi } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { batchForm, batchPart, form, partForm } from "../../support/multipart-form.ts";
import { type Answer, json, send } from "../../support/raw-http.ts";
import { newBatch } from "./refusal.ts";

const FILE_BYTES = batchPart.value.length;
const HOUR_MS = 3_600_000;

export function limitsSuite(startApi: StartApi): void {
  describe("limits", () => {
    const post = ({ baseUrl }: ApiStack, path: string, body: object) =>
      send(baseUrl, path, { method: "POST", ...json(body) });
    const idOf = ({ json: body }: Answer) => (body as { id: string }).id;

    const storageFull = (bytes: number) => ({
      status: 400,
      json: {
        error: {
          message:
            `Storage limit reached: this project may store ${bytes} bytes in files and pending uploads. ` +
            "Delete files, or cancel uploads, and try again.",
          type: "invalid_request_error",
          param: null,
          code: "storage_limit_exceeded",
        },
      },
    });

    test("a project stores as much as it may, until something is deleted", async () => {
      const api = await startApi({ projectLimits: { storedBytes: 2 * FILE_BYTES } });
      const upload = () => send(api.baseUrl, "/v1/files", batchForm());
      const first = await upload();
      expect((await upload()).status).toBe(200);
      expect(await upload()).toMatchObject(storageFull(2 * FILE_BYTES));
      expect(api.unfinishedBlobs()).toBe(0);
      await send(api.baseUrl, `/v1/files/${idOf(first)}`, { method: "DELETE" });
      expect((await upload()).status).toBe(200);
      const blobs = [];
      for await (const { key } of api.blobs.list("files/")) blobs.push(key);
      // The deleted one's bytes go later, by the sweeper.
      expect(blobs).toHaveLength(3);
      await api.close();
    });

    test("space that runs out while an upload comes ends it", async () => {
      const api = await startApi({ freeSpaceFloorBytes: 1_000 });
      const free = vi.spyOn(api.blobs, "freeBytes").mockResolvedValueOnce(1e12);
      free.mockResolvedValue(999);
      const file = { name: "file", value: new Uint8Array(9 * 1024 * 1024), filename: "a.bin" };
      const answer = await send(
        api.baseUrl,
        "/v1/files",
        form({ name: "purpose", value: "user_data" }, file),
      );
      expect(answer).toMatchObject({
        status: 503,
        json: { error: { code: "insufficient_storage" } },
      });
      expect(api.unfinishedBlobs()).toBe(0);
      await api.close();
    });

    test("the parts of uploads count, until the upload is over", async () => {
      const api = await startApi({ projectLimits: { storedBytes: 10 } });
      const about = { filename: "a", purpose: "evals", bytes: 6, mime_type: "text/plain" };
      const [one, two] = [
        idOf(await post(api, "/v1/uploads", about)),
        idOf(await post(api, "/v1/uploads", about)),
      ];
      const large = await post(api, "/v1/uploads", { ...about, bytes: 11 });
      expect(large).toMatchObject(storageFull(10));
      const addPart = (id: string) =>
        send(api.baseUrl, `/v1/uploads/${id}/parts`, partForm("123456"));
      const part = await addPart(one);
      expect(await addPart(two)).toMatchObject(storageFull(10));
      const completed = await post(api, `/v1/uploads/${one}/complete`, { part_ids: [idOf(part)] });
      expect(completed.status).toBe(200);
      expect(await addPart(two)).toMatchObject(storageFull(10));
      const { file } = completed.json as { file: { id: string } };
      await send(api.baseUrl, `/v1/files/${file.id}`, { method: "DELETE" });
      expect((await addPart(two)).status).toBe(200);
      await api.close();
    });

    test("parts that are sent again and again come to an end", async () => {
      const api = await startApi({ limits: { partSizeBytes: 4 } });
      const about = { filename: "a", purpose: "evals", bytes: 4, mime_type: "text/plain" };
      const path = `/v1/uploads/${idOf(await post(api, "/v1/uploads", about))}/parts`;
      const statuses = [];
      for (let count = 0; count < 4; count += 1) {
        statuses.push((await send(api.baseUrl, path, partForm("abcd"))).status);
      }
      expect(statuses).toEqual([200, 200, 200, 400]);
      expect(await send(api.baseUrl, path, partForm("abcd"))).toMatchObject({
        status: 400,
        json: {
          error: {
            message:
              "The parts of this upload may have at most 12 bytes together, those that were sent again included. Cancel the upload and create a new one.",
            param: "data",
          },
        },
      });
      await api.close();
    });

    test("a project creates so many batches an hour, and is told to wait", async () => {
      const api = await startApi({ projectLimits: { batchesPerHour: 2 } });
      const create = () => post(api, "/v1/batches", newBatch);
      expect((await create()).status).toBe(200);
      api.passTime(HOUR_MS / 2);
      expect((await create()).status).toBe(200);
      const refused = await create();
      expect(refused).toMatchObject({
        status: 429,
        json: {
          error: {
            message:
              "Rate limit reached: this project may create 2 batches per hour. Please try again later, or put more requests into one batch.",
            type: "requests",
            param: null,
            code: "rate_limit_exceeded",
          },
        },
      });
      expect(refused.headers["retry-after"]).toBe("8");
      expect(refused.headers).not.toHaveProperty("x-should-retry");
      api.passTime(HOUR_MS / 2);
      expect((await create()).status).toBe(200);
      expect((await create()).status).toBe(429);
      await api.close();
    });

    test("windows are those of the project, and say when a batch expires", async () => {
      const api = await startApi({ projectLimits: { completionWindows: ["30m", "24h", "7d"] } });
      for (const [window, seconds] of [
        ["30m", 1_800],
        ["24h", 86_400],
        ["7d", 604_800],
      ] as const) {
        const answer = await post(api, "/v1/batches", { ...newBatch, completion_window: window });
        const batch = answer.json as { created_at: number; expires_at: number };
        expect(answer).toMatchObject({ status: 200, json: { completion_window: window } });
        expect(batch.expires_at).toBe(batch.created_at + seconds);
      }
      const refused = await post(api, "/v1/batches", { ...newBatch, completion_window: "1h" });
      expect(refused).toMatchObject({
        status: 400,
        json: {
          error: {
            message: "Invalid value: '1h'. Supported values are: '30m', '24h', and '7d'.",
            param: "completion_window",
            code: "invalid_value",
          },
        },
      });
      await api.close();
    });

    test("an endpoint is one that some upstream is configured for", async () => {
      const api = await startApi({ endpoints: ["/v1/embeddings", "/v1/rerank"] });
      const create = (endpoint: string) => post(api, "/v1/batches", { ...newBatch, endpoint });
      expect(await create("/v1/rerank")).toMatchObject({ json: { endpoint: "/v1/rerank" } });
      expect(await create("/v1/completions")).toMatchObject({
        status: 400,
        json: {
          error: {
            message:
              "Invalid value: '/v1/completions'. Supported values are: '/v1/embeddings' and '/v1/rerank'.",
          },
        },
      });
      await api.close();
    });

    test("no room left on the disk refuses files and parts for a while", async () => {
      const api = await startApi({ freeSpaceFloorBytes: 1_000 });
      vi.spyOn(api.blobs, "freeBytes").mockResolvedValue(999);
      const about = { filename: "a", purpose: "evals", bytes: 1, mime_type: "text/plain" };
      const upload = idOf(await post(api, "/v1/uploads", about));
      for (const [path, request] of [
        ["/v1/files", form({ name: "purpose", value: "evals" }, batchPart)],
        [`/v1/uploads/${upload}/parts`, partForm("x")],
      ] as const) {
        const answer = await send(api.baseUrl, path, request);
        expect(answer).toMatchObject({
          status: 503,
          json: { error: { type: "server_error", code: "insufficient_storage" } },
          headers: { "retry-after": "8" },
        });
      }
      await api.close();
    });
  });
}
