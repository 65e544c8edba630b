// Forms with a file in every shape in which clients send them, and in shapes in which nobody should.
import { once } from "node:events";
import { connect } from "node:net";
import OpenAI from "openai";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import {
  type FormPart,
  batchForm,
  batchPart,
  form,
  formBody,
  formHeaders,
} from "../../support/multipart-form.ts";
import { type Answer, type RawRequest, send } from "../../support/raw-http.ts";

const purposePart: FormPart = { name: "purpose", value: "batch" };
const anchorPart: FormPart = { name: "expires_after[anchor]", value: "created_at" };
const secondsPart: FormPart = { name: "expires_after[seconds]", value: "3600" };
const HOUR = 3_600;

interface WireFile {
  id: string;
  filename: string;
  bytes: number;
  created_at: number;
  expires_at: number | null;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}

export function fileFormsSuite(startApi: StartApi): void {
  describe("file forms", () => {
    let api: ApiStack;

    beforeAll(async () => {
      api = await startApi({ limits: { batchFileSizeBytes: 4_000_000, fileSizeBytes: 2_000_000 } });
    });
    afterAll(() => api.close());
    afterEach(async () => {
      const openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any" });
      for await (const { id } of openai.files.list()) await openai.files.delete(id);
      for await (const { key } of api.blobs.list("files/")) await api.blobs.delete(key);
    });

    const upload = (request: RawRequest) => send(api.baseUrl, "/v1/files", request);

    async function uploaded(request: RawRequest): Promise<WireFile> {
      const answer = await upload(request);
      expect(answer.json).toMatchObject({ object: "file" });
      return answer.json as WireFile;
    }

    /** Nothing is left of uploads: no record, no blob, nothing unfinished. */
    async function expectNothing(): Promise<void> {
      await vi.waitFor(() => expect(api.unfinishedBlobs()).toBe(0), {
        timeout: 10_000,
      });
      const { data } = await api.store.files.list("default", {
        limit: 10,
        order: "asc",
        now: Date.now(),
      });
      expect(data).toEqual([]);
      for await (const { key } of api.blobs.list("files/")) expect(key).toBe("nothing");
    }

    const fourParts = [purposePart, batchPart, anchorPart, secondsPart];
    test.each(
      permutations(fourParts).map((parts) => [parts.map(({ name }) => name).join(", "), parts]),
    )("parts in the order %s", async (_names, parts) => {
      const file = await uploaded(form(...parts));
      expect(file.bytes).toBe(batchPart.value.length);
      expect(file.expires_at).toBe(file.created_at + HOUR);
    });

    test.each<[string, FormPart[]]>([
      ["brackets", [anchorPart, secondsPart]],
      [
        "dots",
        [
          { name: "expires_after.anchor", value: "created_at" },
          { name: "expires_after.seconds", value: "3600" },
        ],
      ],
      ["dots without an anchor", [{ name: "expires_after.seconds", value: "3600" }]],
      [
        "one JSON part",
        [{ name: "expires_after", value: '{"anchor":"created_at","seconds":3600}' }],
      ],
      [
        "one part of type JSON",
        [
          {
            name: "expires_after",
            value: '{"anchor":"created_at","seconds":3600}',
            type: "application/json",
          },
        ],
      ],
    ])("expires_after spelled with %s", async (_name, parts) => {
      const file = await uploaded(batchForm(...parts));
      expect(file.expires_at).toBe(file.created_at + HOUR);
    });

    test("expires_after holds for other purposes too, up to 30 days", async () => {
      const seconds = { ...secondsPart, value: "2592000" };
      const purpose = { name: "purpose", value: "user_data" };
      const file = await uploaded(form(purpose, anchorPart, seconds, batchPart));
      expect(file.expires_at).toBe(file.created_at + 30 * 24 * HOUR);
    });

    test.each<[string, Partial<FormPart>, string]>([
      ["the name Python makes up", { filename: "upload" }, "upload"],
      ["the name Node.js makes up", { filename: "unknown_file" }, "unknown_file"],
      ["the name Go makes up", { filename: "anonymous_file" }, "anonymous_file"],
      ["an empty name", { filename: "" }, "upload"],
      ["an upper-case extension", { filename: "IN.JSONL" }, "IN.JSONL"],
    ])("a batch input with %s", async (_name, part, filename) => {
      const file = await uploaded(form(purposePart, { ...batchPart, ...part }));
      expect(file.filename).toBe(filename);
    });

    test("a file without any name, as plain text", async () => {
      const { name, value } = batchPart;
      const file = await uploaded(form(purposePart, { name, value, type: "text/plain" }));
      expect(file).toMatchObject({ filename: "upload", bytes: value.length });
    });

    test("a purpose that is sent like a file", async () => {
      const purpose = { ...purposePart, filename: "purpose", type: "application/octet-stream" };
      expect(await uploaded(form(purpose, batchPart))).toMatchObject({ bytes: 18 });
    });

    test.each<[string, string | Buffer]>([
      ["a byte order mark", '\uFEFF{"a":1}\n'],
      ["blank lines first", '\r\n\n{"a":1}\n'],
      ["a later line that is no JSON", '{"a":1}\nnope\n'],
      ["a first line of over 1 MiB", `{"a":"${"x".repeat(1_100_000)}"}\n`],
    ])("a batch input with %s is taken as it is", async (_name, value) => {
      const file = await uploaded(form(purposePart, { ...batchPart, value }));
      expect(file.bytes).toBe(Buffer.byteLength(value));
    });

    test("fields nobody knows are ignored", async () => {
      const request = batchForm({ name: "user", value: "x" }, { name: "expires", value: "1" });
      expect(await uploaded(request)).toMatchObject({ filename: "in.jsonl", bytes: 18 });
    });

    test("a preamble, an epilogue and a quoted boundary are part of the format", async () => {
      const body = Buffer.concat([
        Buffer.from("hello\r\n"),
        formBody([purposePart, batchPart]),
        Buffer.from("bye"),
      ]);
      const headers = { "content-type": 'multipart/form-data; boundary="a-boundary"' };
      expect(await uploaded({ method: "POST", headers, body })).toMatchObject({ bytes: 18 });
    });

    test("a form split at any byte is the same form", async () => {
      const body = formBody([purposePart, batchPart, anchorPart, secondsPart]);
      for (let at = 1; at < body.length; at += 1) {
        const chunks = [body.subarray(0, at), body.subarray(at)];
        const file = await uploaded({ method: "POST", headers: formHeaders, body: chunks });
        expect(file).toMatchObject({ bytes: 18, expires_at: file.created_at + HOUR });
      }
    });

    test("a form that arrives byte by byte is the same form", async () => {
      const body = [...formBody([batchPart, purposePart])].map((byte) => Uint8Array.of(byte));
      expect(await uploaded({ method: "POST", headers: formHeaders, body })).toMatchObject({
        bytes: 18,
      });
    });

    test("content that looks almost like the boundary stays content", async () => {
      const value = '{"a":1}\n\r\n--a-boundar\r\n-a-boundary--a-boundary\r\r\n--a\r\n-';
      const body = formBody([purposePart, { ...batchPart, value }]);
      for (let at = 1; at < body.length; at += 1) {
        const chunks = [body.subarray(0, at), body.subarray(at)];
        const { id } = await uploaded({ method: "POST", headers: formHeaders, body: chunks });
        const content = await send(api.baseUrl, `/v1/files/${id}/content`);
        expect(content.text).toBe(value);
      }
    });

    test("a form that ends too early is refused at every length, and leaves nothing", async () => {
      const body = formBody([purposePart, batchPart]);
      const lastNeeded = body.length - "\r\n".length;
      for (let length = 0; length < lastNeeded; length += 1) {
        const answer = await upload({
          method: "POST",
          headers: formHeaders,
          body: body.subarray(0, length),
        });
        expect([length, answer.status]).toEqual([length, 400]);
      }
      await expectNothing();
    });

    test.each([0.1, 0.5, 0.9, 1])(
      "an upload cut after %d of its bytes leaves nothing",
      async (share) => {
        const value = `{"a":"${"x".repeat(1_000_000)}"}\n`;
        const body = formBody([purposePart, { ...batchPart, value }]);
        const sent = Math.min(Math.floor(body.length * share), body.length - 1);
        const { hostname, port } = new URL(api.baseUrl);
        const socket = connect(Number(port), hostname);
        await once(socket, "connect");
        socket.write(
          `POST /v1/files HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: ${formHeaders["content-type"]}\r\n` +
            `content-length: ${body.length}\r\n\r\n`,
        );
        socket.write(body.subarray(0, sent));
        await vi.waitFor(() => expect(api.unfinishedBlobs()).toBe(1), {
          timeout: 10_000,
        });
        socket.destroy();
        await expectNothing();
      },
    );

    test.each<[string, FormPart[]]>([
      ["a purpose that does not exist", [{ name: "purpose", value: "x" }]],
      ["the wrong extension", [purposePart, { ...batchPart, filename: "a.txt" }]],
      ["a wrong expires_after at the end", [purposePart, batchPart, secondsPart]],
      ["no purpose", [batchPart]],
      ["too many bytes", [purposePart, { ...batchPart, value: Buffer.alloc(4_000_001) }]],
      ["two files", [purposePart, batchPart, batchPart]],
    ])("an upload refused for %s leaves nothing", async (_name, parts) => {
      expect((await upload(form(...parts))).status).toBe(400);
      await expectNothing();
    });

    test("a client that sends everything before it listens still gets its refusal, and goes on", async () => {
      const big = { ...batchPart, value: Buffer.alloc(30_000_000) };
      for (const parts of [
        [{ name: "purpose", value: "x" }, big],
        [purposePart, big],
        [big, purposePart],
      ]) {
        const body = formBody(parts);
        const { hostname, port } = new URL(api.baseUrl);
        const socket = connect(Number(port), hostname);
        const answers: Uint8Array[] = [];
        socket.on("data", (chunk) => answers.push(chunk as Uint8Array));
        const head = `content-type: ${formHeaders["content-type"]}\r\ncontent-length: ${body.length}`;
        socket.write(`POST /v1/files HTTP/1.1\r\nhost: ${hostname}\r\n${head}\r\n\r\n`);
        socket.write(body);
        socket.write(`GET /healthz HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`);
        await once(socket, "close");
        const text = Buffer.concat(answers).toString();
        expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 400", "HTTP/1.1 200"]);
      }
      await expectNothing();
    });

    test("a file of just the largest size is taken", async () => {
      const largest = { ...batchPart, value: Buffer.alloc(4_000_000, '{"a":1}\n') };
      expect(await uploaded(form(purposePart, largest))).toMatchObject({ bytes: 4_000_000 });
      const other = { ...batchPart, value: Buffer.alloc(2_000_000) };
      expect(await uploaded(form({ name: "purpose", value: "evals" }, other))).toMatchObject({
        bytes: 2_000_000,
      });
    });

    test("several uploads at once do not mix", async () => {
      const contents = Array.from({ length: 8 }, (_, index) => `{"n":${index}}\n`.repeat(20_000));
      const files = await Promise.all(
        contents.map((value) => uploaded(form(purposePart, { ...batchPart, value }))),
      );
      const answers = await Promise.all(
        files.map(({ id }): Promise<Answer> => send(api.baseUrl, `/v1/files/${id}/content`)),
      );
      expect(answers.map(({ text }) => text)).toEqual(contents);
    });
  });
}
