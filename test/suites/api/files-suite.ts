// Files over the wire: create, look, list, download, delete, expire.
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { type FormPart, batchForm, form } from "../../support/multipart-form.ts";
import { type Answer, send } from "../../support/raw-http.ts";

interface WireFile {
  id: string;
  filename: string;
}

const DAY_MS = 86_400_000;
const FILE_MEMBERS = [
  "object",
  "id",
  "purpose",
  "filename",
  "bytes",
  "created_at",
  "expires_at",
  "status",
  "status_details",
];

export function filesSuite(startApi: StartApi): void {
  describe("files", () => {
    let api: ApiStack;
    let openai: OpenAI;

    beforeAll(async () => {
      api = await startApi();
      openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any", maxRetries: 0 });
    });
    afterAll(() => api.close());
    beforeEach(async () => {
      for await (const { id } of openai.files.list()) await openai.files.delete(id);
    });

    async function upload(part: Partial<FormPart> = {}, purpose = "user_data"): Promise<WireFile> {
      const file = { name: "file", value: "content", filename: "name.txt", ...part };
      const answer = await send(
        api.baseUrl,
        "/v1/files",
        form({ name: "purpose", value: purpose }, file),
      );
      expect(answer.status).toBe(200);
      return answer.json as WireFile;
    }

    async function listed(query: string): Promise<Answer & { ids: string[]; hasMore: boolean }> {
      const answer = await send(api.baseUrl, `/v1/files${query}`);
      const { data, has_more: hasMore } = answer.json as { data: WireFile[]; has_more: boolean };
      return { ...answer, ids: data.map(({ id }) => id), hasMore };
    }

    test("a batch input comes back as it went, processed at once, kept for 30 days", async () => {
      const content = '{"custom_id":"é"}\n';
      const before = Math.floor(Date.now() / 1000);
      const file = await openai.files.create({
        purpose: "batch",
        file: await toFile(Buffer.from(content), "in.jsonl"),
      });
      expect(file).toMatchObject({
        object: "file",
        id: expect.stringMatching(/^file-[A-Za-z0-9]{22}$/),
        purpose: "batch",
        filename: "in.jsonl",
        bytes: Buffer.byteLength(content),
        status: "processed",
      });
      expect(file.created_at).toBeGreaterThanOrEqual(before);
      expect(file.created_at).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000));
      expect(file.expires_at).toBe(file.created_at + 30 * 86_400);
      expect(await openai.files.retrieve(file.id)).toEqual(file);
      expect((await openai.files.list()).data).toEqual([file]);
      expect(await (await openai.files.content(file.id)).text()).toBe(content);
      expect(await openai.files.waitForProcessing(file.id)).toEqual(file);
    });

    test("a file has its nine members in the recorded order, null included", async () => {
      const { id } = await upload();
      const answer = await send(api.baseUrl, `/v1/files/${id}`);
      expect(Object.keys(answer.json as object)).toEqual(FILE_MEMBERS);
      expect(answer.json).toMatchObject({ expires_at: null, status_details: null });
      expect(answer.headers["content-type"]).toMatch(/^application\/json/);
    });

    test.each(["fine-tune", "assistants", "user_data", "vision", "evals"])(
      "purpose %s takes any name and content, and never expires",
      async (purpose) => {
        const file = await upload({ value: "\u0000", filename: "a.bin" }, purpose);
        expect(file).toMatchObject({ purpose, bytes: 1, expires_at: null });
      },
    );

    test("a file of several megabytes comes back byte for byte", async () => {
      const content = Buffer.from(
        Uint8Array.from({ length: 3_333_333 }, (_, at) => (at * 7) % 251),
      );
      const { id } = await upload({ value: content, filename: "data.bin" }, "evals");
      const answer = await send(api.baseUrl, `/v1/files/${id}/content`, {
        headers: { accept: "application/binary" },
      });
      expect(answer.status).toBe(200);
      expect(answer.bytes.equals(content)).toBe(true);
      expect(answer.headers).toMatchObject({
        "content-type": "application/octet-stream",
        "content-length": String(content.length),
        "content-disposition": 'attachment; filename="data.bin"',
        "x-content-type-options": "nosniff",
      });
    });

    test("an empty file can be kept and downloaded", async () => {
      const { id } = await upload({ value: "" }, "evals");
      const answer = await send(api.baseUrl, `/v1/files/${id}/content`);
      expect(answer).toMatchObject({ status: 200, text: "" });
      expect(answer.headers["content-length"]).toBe("0");
    });

    test("HEAD on content tells size and name without the bytes", async () => {
      const { id } = await upload({ value: "12345" }, "evals");
      const answer = await send(api.baseUrl, `/v1/files/${id}/content`, { method: "HEAD" });
      expect(answer).toMatchObject({ status: 200, text: "" });
      expect(answer.headers).toMatchObject({
        "content-length": "5",
        "content-disposition": 'attachment; filename="name.txt"',
      });
    });

    test("a client that leaves in the middle of a download harms nobody", async () => {
      const { id } = await upload({ value: Buffer.alloc(8_000_000) }, "evals");
      const response = await openai.files.content(id);
      const reader = response.body?.getReader();
      await reader?.read();
      await reader?.cancel();
      expect(await openai.files.delete(id)).toMatchObject({ deleted: true });
    });

    test.each([
      ["a b.txt", "a b.txt", 'attachment; filename="a b.txt"'],
      ["../../etc/passwd", "passwd", 'attachment; filename="passwd"'],
      ["C:\\temp\\x.txt", "x.txt", 'attachment; filename="x.txt"'],
      ["naïve 😀.txt", "naïve 😀.txt", "filename*=UTF-8''na%C3%AFve%20%F0%9F%98%80.txt"],
      ['quo\\"te.txt', 'quo"te.txt', `filename="quo_te.txt"; filename*=UTF-8''quo%22te.txt`],
      ["tab\tbell\u0007.txt", "tab\tbell\u0007.txt", 'attachment; filename="tab_bell_.txt"'],
      ["__proto__", "__proto__", 'attachment; filename="__proto__"'],
    ])("the name %j is kept as %j and sent safely", async (sent, kept, header) => {
      const { id, filename } = await upload({ filename: sent }, "evals");
      expect(filename).toBe(kept);
      const answer = await send(api.baseUrl, `/v1/files/${id}/content`);
      expect(answer.status).toBe(200);
      expect(answer.headers["content-disposition"]).toContain(header);
    });

    test("delete hides a file at once, and wakes who waits for it", async () => {
      let signalled = 0;
      const off = api.signals.on("bytes-unneeded", () => signalled++);
      const { id } = await upload();
      expect(await openai.files.delete(id)).toEqual({ object: "file", id, deleted: true });
      off();
      expect(signalled).toBe(1);
      await expect(openai.files.retrieve(id)).rejects.toMatchObject({ status: 404 });
      await expect(openai.files.content(id)).rejects.toMatchObject({ status: 404 });
      await expect(openai.files.delete(id)).rejects.toMatchObject({ status: 404 });
      expect((await listed("")).ids).toEqual([]);
    });

    test("a file is gone once its time is over", async () => {
      const { id } = await upload({ value: '{"a":1}\n', filename: "in.jsonl" }, "batch");
      api.passTime(30 * DAY_MS - 5_000);
      expect(await openai.files.retrieve(id)).toMatchObject({ id });
      api.passTime(5_000);
      await expect(openai.files.retrieve(id)).rejects.toMatchObject({ status: 404 });
      expect((await listed("")).ids).toEqual([]);
    });

    describe("list", () => {
      let ids: string[];

      beforeEach(async () => {
        ids = [];
        for (const purpose of ["user_data", "batch", "evals", "batch", "evals"]) {
          const part = { value: "{}", filename: "a.jsonl" };
          ids.unshift((await upload(part, purpose)).id);
        }
      });

      test("is newest first, with the ids of its ends", async () => {
        const { ids: all, json } = await listed("");
        expect(all).toEqual(ids);
        expect(Object.keys(json as object)).toEqual([
          "object",
          "data",
          "first_id",
          "last_id",
          "has_more",
        ]);
        expect(json).toMatchObject({ first_id: ids[0], last_id: ids.at(-1), has_more: false });
      });

      test("is oldest first when asked", async () => {
        expect((await listed("?order=asc")).ids).toEqual(ids.toReversed());
        expect((await listed(`?order=asc&after=${ids[1]}`)).ids).toEqual([ids[0]]);
      });

      test("comes in pages whose has_more is exact and whose cursor is exclusive", async () => {
        expect(await listed("?limit=4")).toMatchObject({ ids: ids.slice(0, 4), hasMore: true });
        expect(await listed("?limit=5")).toMatchObject({ ids, hasMore: false });
        expect(await listed(`?limit=2&after=${ids[1]}`)).toMatchObject({
          ids: ids.slice(2, 4),
          hasMore: true,
        });
        expect(await listed(`?limit=2&after=${ids[2]}`)).toMatchObject({
          ids: ids.slice(3),
          hasMore: false,
        });
      });

      test("is empty after the last id, without an error", async () => {
        const { status, json } = await listed(`?after=${ids.at(-1)}`);
        expect(status).toBe(200);
        expect(json).toEqual({
          object: "list",
          data: [],
          first_id: null,
          last_id: null,
          has_more: false,
        });
      });

      test("goes on after an id that was deleted meanwhile", async () => {
        await openai.files.delete(ids[1] as string);
        expect((await listed(`?after=${ids[1]}`)).ids).toEqual(ids.slice(2));
      });

      test("can be emptied page by page by a client that deletes as it goes", async () => {
        for await (const { id } of openai.files.list({ limit: 2 })) await openai.files.delete(id);
        expect((await listed("")).ids).toEqual([]);
      });

      test("is walked whole by an SDK in small pages", async () => {
        const walked: string[] = [];
        for await (const { id } of openai.files.list({ limit: 2 })) walked.push(id);
        expect(walked).toEqual(ids);
      });

      test("is narrowed by purpose, not by an empty one", async () => {
        expect((await listed("?purpose=batch")).ids).toEqual([ids[1], ids[3]]);
        expect(await listed("?purpose=batch&limit=1")).toMatchObject({ hasMore: true });
        expect((await listed("?purpose=batch_output")).ids).toEqual([]);
        expect((await listed("?purpose=")).ids).toEqual(ids);
      });

      test("ignores keys it does not know, and takes the last of repeated ones", async () => {
        expect((await listed("?status=x&__proto__=y&constructor=z")).ids).toEqual(ids);
        expect((await listed("?limit=1&limit=2")).ids).toEqual(ids.slice(0, 2));
        expect((await listed("?after=&purpose=evals&purpose=batch")).ids).toEqual([ids[1], ids[3]]);
      });
    });

    test("a file of which no bytes are left is a fault of the server, told without details", async () => {
      const { id } = await upload({ value: "12345" }, "evals");
      const writer = await api.blobs.create(`files/${id}`);
      await writer.write(Buffer.from("12"));
      await writer.commit();
      const answer = await send(api.baseUrl, `/v1/files/${id}/content`);
      const requestId = answer.headers["x-request-id"] as string;
      expect(answer.status).toBe(500);
      expect(answer.headers).not.toHaveProperty("content-disposition");
      expect(answer.json).toEqual({
        error: {
          message: `The server had an error while processing your request. Its log has the cause under ${requestId}.`,
          type: "server_error",
          param: null,
          code: null,
        },
      });
      const line = api.log.find((text) => text.includes(requestId) && text.includes('"err"'));
      expect(line).toContain("instead of 5: the store is damaged");
    });

    test("a raw upload without an SDK is the same file", async () => {
      const answer = await send(api.baseUrl, "/v1/files", batchForm());
      expect(answer.json).toMatchObject({ purpose: "batch", filename: "in.jsonl", bytes: 18 });
    });
  });
}
