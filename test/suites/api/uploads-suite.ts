// Uploads in parts over the wire: create, add parts, complete, cancel, expire.
import { createHash } from "node:crypto";
import { request } from "node:http";
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { formBody, formHeaders, partForm } from "../../support/multipart-form.ts";
import { json, send } from "../../support/raw-http.ts";

type Upload = OpenAI.Uploads.Upload;

const HOUR_MS = 3_600_000;
const UPLOAD_MEMBERS = [
  "id",
  "object",
  "bytes",
  "created_at",
  "filename",
  "purpose",
  "status",
  "expires_at",
  "file",
];

export function uploadsSuite(startApi: StartApi): void {
  describe("uploads", () => {
    let api: ApiStack;
    let openai: OpenAI;

    beforeAll(async () => {
      api = await startApi();
      openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any", maxRetries: 0 });
    });
    afterAll(() => api.close());
    beforeEach(async () => {
      for await (const { id } of openai.files.list()) await openai.files.delete(id);
      for (const key of await blobs("files/")) await api.blobs.delete(key);
    });

    const post = (path: string, body: unknown) =>
      send(api.baseUrl, path, { method: "POST", ...json(body) });

    function create(bytes: number, change: Partial<OpenAI.UploadCreateParams> = {}) {
      const mimeType = "application/octet-stream";
      return openai.uploads.create({
        filename: "data.bin",
        purpose: "evals",
        bytes,
        mime_type: mimeType,
        ...change,
      });
    }

    async function addPart({ id }: Upload, content: string | Uint8Array): Promise<string> {
      const answer = await send(api.baseUrl, `/v1/uploads/${id}/parts`, partForm(content));
      expect(answer.status).toBe(200);
      return (answer.json as { id: string }).id;
    }

    async function addParts(upload: Upload, contents: readonly string[]): Promise<string[]> {
      return Promise.all(contents.map((content) => addPart(upload, content)));
    }

    const complete = ({ id }: Upload, partIds: readonly string[], md5?: string) =>
      post(`/v1/uploads/${id}/complete`, { part_ids: partIds, ...(md5 && { md5 }) });

    async function contentOf(fileId: string | undefined): Promise<string> {
      return (await send(api.baseUrl, `/v1/files/${fileId}/content`)).text;
    }

    async function blobs(prefix: string): Promise<string[]> {
      const keys: string[] = [];
      for await (const { key } of api.blobs.list(prefix)) keys.push(key);
      return keys;
    }

    test("the parts of an upload become a file, by the SDK's own way", async () => {
      const content = '{"a":1}\n{"b":2}\n';
      const upload = await create(content.length, { filename: "in.jsonl", purpose: "batch" });
      expect(upload).toMatchObject({
        id: expect.stringMatching(/^upload_[0-9a-f]{32}$/),
        status: "pending",
        bytes: content.length,
        file: null,
      });
      expect(upload.expires_at).toBe(upload.created_at + 3_600);
      const parts = [];
      for (const data of [content.slice(0, 5), content.slice(5)]) {
        parts.push(
          await openai.uploads.parts.create(upload.id, { data: await toFile(Buffer.from(data)) }),
        );
      }
      expect(parts[0]).toMatchObject({
        id: expect.stringMatching(/^part_[0-9a-f]{32}$/),
        object: "upload.part",
        upload_id: upload.id,
      });
      expect(Object.keys(parts[0] as object)).toEqual(["id", "object", "created_at", "upload_id"]);

      let signalled = 0;
      const off = api.signals.on("bytes-unneeded", () => signalled++);
      const md5 = createHash("md5").update(content).digest("hex");
      const partIds = parts.map(({ id }) => id);
      const completed = await openai.uploads.complete(upload.id, { part_ids: partIds, md5 });
      off();
      expect(signalled).toBe(1);
      expect(completed).toMatchObject({ ...upload, status: "completed", file: { bytes: 16 } });
      const file = await openai.files.retrieve(completed.file?.id ?? "");
      expect(completed.file).toEqual(file);
      expect(file).toMatchObject({ filename: "in.jsonl", purpose: "batch", status: "processed" });
      expect(file.expires_at).toBe(file.created_at + 30 * 86_400);
      expect(await contentOf(file.id)).toBe(content);
    });

    test("an upload has its members in the recorded order, null included", async () => {
      const body = { filename: "a", purpose: "vision", bytes: 1, mime_type: "image/png" };
      const { json: upload } = await post("/v1/uploads", body);
      expect(Object.keys(upload as object)).toEqual(UPLOAD_MEMBERS);
      expect(upload).toMatchObject({ file: null, purpose: "vision" });
    });

    test("parts come in parallel, in any order, in any number", async () => {
      const contents = Array.from({ length: 65 }, (_, index) => `<${index}>`);
      const upload = await create(contents.join("").length);
      const ids = await addParts(upload, contents);
      const { json: completed } = await complete(upload, ids.toReversed());
      const { file } = completed as Upload;
      expect(await contentOf(file?.id)).toBe(contents.toReversed().join(""));
    });

    test("a part that was sent again replaces the one that is not named", async () => {
      const upload = await create(6);
      const [damaged = "", rest = ""] = await addParts(upload, ["abX", "def"]);
      const again = await addPart(upload, "abc");
      const { json: completed } = await complete(upload, [again, rest]);
      expect(await contentOf((completed as Upload).file?.id)).toBe("abcdef");
      const stored = await api.store.uploads.get("default", upload.id);
      expect(stored?.partIds).toEqual([again, rest]);
      expect(stored?.partIds).not.toContain(damaged);
    });

    test("expires_after says how long the file is kept", async () => {
      const upload = await create(1, { expires_after: { anchor: "created_at", seconds: 7_200 } });
      const { json: completed } = await complete(upload, [await addPart(upload, "x")]);
      const { file } = completed as Upload;
      expect(file?.expires_at).toBe((file?.created_at ?? 0) + 7_200);
    });

    test("a checksum in capitals is the same checksum", async () => {
      const upload = await create(3);
      const md5 = createHash("md5").update("abc").digest("hex").toUpperCase();
      const answer = await complete(upload, [await addPart(upload, "abc")], md5);
      expect(answer).toMatchObject({ status: 200, json: { status: "completed" } });
    });

    test("what is refused at completion leaves nothing, and can be mended", async () => {
      const upload = await create(7, { filename: "in.jsonl", purpose: "batch" });
      const [bad = "", good = ""] = await addParts(upload, ["no JSON", '{"a":1}']);
      expect(await complete(upload, [bad])).toMatchObject({
        status: 400,
        json: { error: { message: "Invalid file format for Batch API. Must be .jsonl" } },
      });
      expect(await complete(upload, [good], "0".repeat(32))).toMatchObject({
        status: 400,
        json: { error: { param: "md5", message: expect.stringContaining("The MD5 checksum") } },
      });
      expect(await complete(upload, [good, bad])).toMatchObject({
        status: 400,
        json: {
          error: {
            param: "part_ids",
            message: "The parts add up to 14 bytes, but the upload was created for 7 bytes.",
          },
        },
      });
      expect(await blobs("files/")).toEqual([]);
      expect(api.unfinishedBlobs()).toBe(0);
      expect(await complete(upload, [good])).toMatchObject({ status: 200 });
    });

    test("completing again gives the same answer for the same parts only", async () => {
      const upload = await create(2);
      const ids = await addParts(upload, ["a", "b"]);
      const first = await complete(upload, ids);
      expect(await complete(upload, ids)).toMatchObject({ status: 200, json: first.json });
      expect(await complete(upload, ids.toReversed())).toMatchObject({
        status: 400,
        json: {
          error: {
            param: "part_ids",
            message: "The upload was completed with other part_ids already.",
          },
        },
      });
      await openai.files.delete((first.json as Upload).file?.id ?? "");
      expect((await complete(upload, ids)).json).toMatchObject({ status: "completed", file: null });
    });

    /** Holds back the Store's completions until `count` of them have come, and does `before` then. */
    function gatherCompletions(count: number, before?: () => Promise<unknown>) {
      const { promise: all, resolve: allCame } = Promise.withResolvers<void>();
      const original = api.store.uploads.complete.bind(api.store.uploads);
      let came = 0;
      return vi.spyOn(api.store.uploads, "complete").mockImplementation(async (...args) => {
        came += 1;
        if (came === count) {
          await before?.();
          allCame();
        }
        await all;
        return original(...args);
      });
    }

    test("of several completions at once one makes the file, and all get it", async () => {
      const upload = await create(1);
      const ids = [await addPart(upload, "x")];
      const made = vi.spyOn(api.blobs, "create");
      const answers = await Promise.all([1, 2, 3, 4].map(() => complete(upload, ids)));
      // A second copy at the same time would only take space.
      expect(made.mock.calls).toHaveLength(1);
      made.mockRestore();
      const [first, ...others] = answers.map((answer) => answer.json as Upload);
      expect(first).toMatchObject({ status: "completed" });
      for (const other of others) expect(other).toEqual(first);
      expect(await blobs("files/")).toEqual([`files/${first?.file?.id}`]);
      expect((await openai.files.list()).data).toHaveLength(1);
    });

    test("a cancel that comes in between wins over a completion, which leaves nothing", async () => {
      const upload = await create(1);
      const ids = [await addPart(upload, "x")];
      const gathered = gatherCompletions(1, () => openai.uploads.cancel(upload.id));
      const answer = await complete(upload, ids);
      gathered.mockRestore();
      expect(answer).toMatchObject({
        status: 400,
        json: {
          error: {
            message: expect.stringContaining("Cannot complete an upload with status 'cancelled'"),
          },
        },
      });
      expect(await blobs("files/")).toEqual([]);
      expect((await openai.files.list()).data).toEqual([]);
    });

    test("a cancel whose sweep takes the parts away ends a completion as a cancel does", async () => {
      const upload = await create(1);
      const ids = [await addPart(upload, "x")];
      const read = vi.spyOn(api.blobs, "read").mockImplementationOnce(async function* (key) {
        await openai.uploads.cancel(upload.id);
        await api.blobs.deleteAll(`uploads/${upload.id}/`);
        yield* api.blobs.read(key);
      });
      const answer = await complete(upload, ids);
      read.mockRestore();
      expect(answer).toMatchObject({
        status: 400,
        json: { error: { message: expect.stringContaining("status 'cancelled'") } },
      });
      expect(api.unfinishedBlobs()).toBe(0);
    });

    test("parts that have lost bytes are a fault of the server, and no file", async () => {
      const upload = await create(3);
      const id = await addPart(upload, "abc");
      const writer = await api.blobs.create(`uploads/${upload.id}/${id}`);
      await writer.write(Buffer.from("ab"));
      await writer.commit();
      expect((await complete(upload, [id])).status).toBe(500);
      expect(await blobs("files/")).toEqual([]);
      expect(api.unfinishedBlobs()).toBe(0);
    });

    describe("cancel", () => {
      test("ends an upload, and wakes who deletes its parts", async () => {
        const upload = await create(2);
        await addPart(upload, "x");
        let signalled = 0;
        const off = api.signals.on("bytes-unneeded", () => signalled++);
        expect(await openai.uploads.cancel(upload.id)).toEqual({ ...upload, status: "cancelled" });
        off();
        expect(signalled).toBe(1);
        expect(await openai.uploads.cancel(upload.id)).toMatchObject({ status: "cancelled" });
        const part = await send(api.baseUrl, `/v1/uploads/${upload.id}/parts`, partForm("y"));
        expect(part).toMatchObject({
          status: 400,
          json: {
            error: {
              message:
                "Cannot add a part to an upload with status 'cancelled'. It must be 'pending': create a new upload.",
            },
          },
        });
        expect((await complete(upload, ["part_1"])).status).toBe(400);
      });

      test.each([
        ["no body and no type", undefined, undefined],
        ["no body of type JSON", "application/json", undefined],
        ["an empty body of type JSON", "application/json", ""],
        ["an empty object", "application/json", "{}"],
      ])("takes %s", async (_name, type, body) => {
        const { id } = await create(1);
        const answer = await send(api.baseUrl, `/v1/uploads/${id}/cancel`, {
          method: "POST",
          ...(type === undefined ? {} : { headers: { "content-type": type } }),
          ...(body === undefined ? {} : { body }),
        });
        expect(answer).toMatchObject({ status: 200, json: { status: "cancelled" } });
      });

      test("comes too late for a completed upload", async () => {
        const upload = await create(1);
        await complete(upload, [await addPart(upload, "x")]);
        await expect(openai.uploads.cancel(upload.id)).rejects.toMatchObject({
          status: 400,
          message: expect.stringContaining("Cannot cancel an upload with status 'completed'"),
        });
      });
    });

    test("an upload that is not completed within an hour has expired", async () => {
      const late = await startApi();
      const uploads = `${late.baseUrl}/v1`;
      const client = new OpenAI({ baseURL: uploads, apiKey: "any", maxRetries: 0 });
      const { id } = await client.uploads.create({
        filename: "a",
        purpose: "evals",
        bytes: 1,
        mime_type: "text/plain",
      });
      const data = await toFile(Buffer.from("x"));
      late.passTime(HOUR_MS - 10_000);
      const part = await client.uploads.parts.create(id, { data });
      late.passTime(10_000);
      const refusal = (action: string) => ({
        status: 400,
        message: expect.stringContaining(`Cannot ${action} an upload with status 'expired'`),
      });
      await expect(client.uploads.parts.create(id, { data })).rejects.toMatchObject(
        refusal("add a part to"),
      );
      await expect(client.uploads.complete(id, { part_ids: [part.id] })).rejects.toMatchObject(
        refusal("complete"),
      );
      await expect(client.uploads.cancel(id)).rejects.toMatchObject(refusal("cancel"));
      await late.close();
    });

    test("a part is on disk while it still comes, and gone when its client leaves", async () => {
      const upload = await create(4_000_000);
      const body = formBody([{ name: "data", value: Buffer.alloc(2_000_000), filename: "p" }]);
      const { hostname, port } = new URL(api.baseUrl);
      const path = `/v1/uploads/${upload.id}/parts`;
      const sending = request({ hostname, port, path, method: "POST", headers: formHeaders });
      sending.on("error", () => {});
      sending.write(body.subarray(0, 1_900_000));
      await vi.waitFor(() => expect(api.unfinishedBytes()).toBeGreaterThan(1_500_000), {
        timeout: 10_000,
      });
      sending.destroy();
      await vi.waitFor(() => expect(api.unfinishedBlobs()).toBe(0), {
        timeout: 10_000,
      });
      expect(await blobs(`uploads/${upload.id}/`)).toEqual([]);
    });

    test("the uploads of a project are nobody else's", async () => {
      const own = await startApi();
      const [mine, theirs] = [await own.keys.create("mine"), await own.keys.create("theirs")];
      const as = (key: string) =>
        new OpenAI({ baseURL: `${own.baseUrl}/v1`, apiKey: key, maxRetries: 0 });
      const body = { filename: "a", purpose: "evals", bytes: 1, mime_type: "a/b" } as const;
      const { id } = await as(mine.key).uploads.create(body);
      const missing = { status: 404, param: "upload_id" };
      const foreign = as(theirs.key).uploads;
      await expect(foreign.cancel(id)).rejects.toMatchObject(missing);
      await expect(foreign.complete(id, { part_ids: ["part_1"] })).rejects.toMatchObject(missing);
      const data = await toFile(Buffer.from("x"));
      await expect(foreign.parts.create(id, { data })).rejects.toMatchObject(missing);
      expect(await as(mine.key).uploads.cancel(id)).toMatchObject({ status: "cancelled" });
      await own.close();
    });
  });
}
