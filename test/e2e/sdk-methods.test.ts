// Every method that the official SDK has for batches, files, uploads and models, pages that it walks by
// itself among them; those for webhooks are in sdk-webhooks.test.ts.
import OpenAI, { ConflictError, NotFoundError, toFile, toStreamingFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch } from "../support/batch-driver.ts";
import { chatLine, SIMULATED_MODEL } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";

const MANY = 250;
const AT_ONCE = 10;

const place = openWorkplace();
const simulator = new Simulator({ models: [SIMULATED_MODEL], outputTokens: 4 });
let server: ServerProcess;
let openai: OpenAI;

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  const upstreams = [upstream(baseUrl)];
  const config = { upstreams, cancel_grace_ms: 200 };
  server = await ServerProcess.start({ folder: place.path("."), config });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "any" });
});
afterAll(async () => {
  await server?.kill();
  await simulator.stop();
  place[Symbol.dispose]();
});

function lineOf(prompt: string): Buffer {
  const { customId, url, body } = chatLine({ customId: "a", prompt });
  return Buffer.from(`${JSON.stringify({ custom_id: customId, method: "POST", url, body })}\n`);
}

async function uploaded(prompt = "Say hi."): Promise<string> {
  const file = await toFile(lineOf(prompt), "input.jsonl");
  return (await openai.files.create({ file, purpose: "batch" })).id;
}

/** `MANY` ids, made a few at a time. */
async function makeMany(make: () => Promise<string>): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < MANY) {
    ids.push(...(await Promise.all(Array.from({ length: AT_ONCE }, make))));
  }
  return ids;
}

async function walked(objects: AsyncIterable<{ id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of objects) ids.push(id);
  return ids;
}

describe("batches", () => {
  it("create, retrieve and cancel", async () => {
    const { id } = await createBatch(openai, await uploaded("[simulate: hang]"));
    expect(await openai.batches.retrieve(id)).toMatchObject({ id, object: "batch" });
    expect(await openai.batches.cancel(id)).toMatchObject({ id, status: "cancelling" });
    const end = await batchEnd(openai, id, { pauseMs: 20 });
    expect(end.status).toBe("cancelled");
    expect(await openai.batches.cancel(id)).toEqual(end);
  });

  it("refuse what the SDK knows as its own errors", async () => {
    const { id } = await createBatch(openai, await uploaded());
    await batchEnd(openai, id, { pauseMs: 20 });
    await expect(openai.batches.cancel(id)).rejects.toBeInstanceOf(ConflictError);
    const unknown = openai.batches.retrieve("batch_nobody");
    await expect(unknown).rejects.toBeInstanceOf(NotFoundError);
    await expect(unknown).rejects.toMatchObject({
      status: 404,
      code: null,
      requestID: expect.stringMatching(/^req_/) as string,
    });
  });

  it(`list ${MANY} of them, in pages of any size, each once`, async () => {
    const inputFileId = await uploaded();
    const made = await makeMany(async () => (await createBatch(openai, inputFileId)).id);
    const pages = await walked(openai.batches.list());
    expect(new Set(pages).size).toBe(pages.length);
    expect(pages.filter((id) => made.includes(id))).toHaveLength(MANY);
    expect(await walked(openai.batches.list({ limit: 100 }))).toEqual(pages);
    expect(await walked(openai.batches.list({ limit: 100, after: pages[200]! }))).toEqual(
      pages.slice(201),
    );
  });
});

describe("files", () => {
  it("create from a buffer, a stream, and a response; retrieve; delete", async () => {
    const bytes = lineOf("Hi");
    async function* pieces() {
      yield bytes.subarray(0, 9);
      yield bytes.subarray(9);
    }
    const contents = [
      await toFile(bytes, "a.jsonl"),
      toStreamingFile(pieces(), "a.jsonl"),
      await toFile(new Response(bytes), "a.jsonl"),
    ];
    for (const file of contents) {
      const created = await openai.files.create({
        file,
        purpose: "batch",
        expires_after: { anchor: "created_at", seconds: 3_600 },
      });
      const { id } = created;
      expect(created).toMatchObject({ filename: "a.jsonl", bytes: bytes.length });
      expect(created.expires_at).toBe(created.created_at + 3_600);
      expect(await openai.files.retrieve(id)).toEqual(created);
      expect(await openai.files.waitForProcessing(id)).toEqual(created);
      expect(await (await openai.files.content(id)).text()).toBe(bytes.toString());
      expect(await openai.files.delete(id)).toEqual({ id, object: "file", deleted: true });
      await expect(openai.files.retrieve(id)).rejects.toBeInstanceOf(NotFoundError);
    }
  });

  it(`list ${MANY} of them, in both orders, each once`, async () => {
    const purpose = "evals" as const;
    const made = await makeMany(async () => {
      const file = await toFile(lineOf("Hi"), "a.jsonl");
      return (await openai.files.create({ file, purpose })).id;
    });
    const newest = await walked(openai.files.list({ purpose, limit: 40 }));
    expect(newest.toSorted()).toEqual(made.toSorted());
    const oldest = await walked(openai.files.list({ purpose, limit: 99, order: "asc" }));
    expect(oldest).toEqual(newest.toReversed());
    expect(await walked(openai.files.list({ purpose }))).toEqual(newest);
  });
});

describe("uploads", () => {
  const mime = "application/jsonl";

  it("create, parts and complete make a file that a batch runs on", async () => {
    const bytes = Buffer.concat(
      Array.from({ length: 3 }, (_, index) => {
        const { customId, url, body } = chatLine({ customId: `line-${index}`, prompt: "Hi" });
        return Buffer.from(
          `${JSON.stringify({ custom_id: customId, method: "POST", url, body })}\n`,
        );
      }),
    );
    const upload = await openai.uploads.create({
      bytes: bytes.length,
      filename: "parts.jsonl",
      mime_type: mime,
      purpose: "batch",
    });
    expect(upload).toMatchObject({ object: "upload", status: "pending", file: null });
    const middle = Math.floor(bytes.length / 2);
    const parts = await Promise.all(
      [bytes.subarray(0, middle), bytes.subarray(middle)].map(async (data) =>
        openai.uploads.parts.create(upload.id, { data: await toFile(data, "part") }),
      ),
    );
    expect(parts[0]).toMatchObject({ object: "upload.part", upload_id: upload.id });
    const { status, file } = await openai.uploads.complete(upload.id, {
      part_ids: parts.map(({ id }) => id),
    });
    expect({ status, bytes: file?.bytes }).toEqual({ status: "completed", bytes: bytes.length });
    const { id } = await createBatch(openai, file!.id);
    expect(await batchEnd(openai, id, { pauseMs: 20 })).toMatchObject({
      status: "completed",
      request_counts: { total: 3, completed: 3, failed: 0 },
    });
  });

  it("cancel", async () => {
    const about = { bytes: 5, filename: "a.jsonl", mime_type: mime, purpose: "batch" as const };
    const { id } = await openai.uploads.create(about);
    expect(await openai.uploads.cancel(id)).toMatchObject({ id, status: "cancelled" });
  });
});

describe("models", () => {
  it("list and retrieve", async () => {
    const models = await openai.models.list();
    expect(models.data.map(({ id }) => id)).toEqual([SIMULATED_MODEL]);
    expect(await openai.models.retrieve(SIMULATED_MODEL)).toEqual(models.data[0]);
    await expect(openai.models.retrieve("gpt-99")).rejects.toBeInstanceOf(NotFoundError);
  });

  it("are not deleted", async () => {
    await expect(openai.models.delete(SIMULATED_MODEL)).rejects.toMatchObject({ status: 405 });
  });
});
