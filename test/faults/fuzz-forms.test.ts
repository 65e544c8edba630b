// Multipart forms as no client should send them: split, cut, changed at random, nested, without an end. Each is taken
// whole or refused, never a fault. FUZZ_SEED repeats the random ones.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { FuzzedServer } from "../support/fuzzed-server.ts";
import {
  type FormPart,
  batchPart,
  form,
  formBody,
  formHeaders,
  withBoundary,
} from "../support/multipart-form.ts";
import { mutated } from "../support/mutation.ts";
import { oddJson, oddNames } from "../support/odd-json.ts";
import { seededRandom } from "../support/random.ts";
import { type RawRequest, json } from "../support/raw-http.ts";

/** Of the form of each route. */
const MUTATIONS = 1_000;
const MB = 1_000_000;

const purposePart: FormPart = { name: "purpose", value: "batch" };
const dataPart: FormPart = { name: "data", value: "a\r\n--a-bound\r\nb", filename: "p" };

let server: FuzzedServer;
let partsPath: string;
beforeAll(async () => {
  server = await FuzzedServer.start();
  partsPath = `/v1/uploads/${await newUpload(64 * MB)}/parts`;
});
afterAll(() => server[Symbol.asyncDispose]());
afterEach(() => server.expectUnharmed());

async function newUpload(bytes: number): Promise<string> {
  const about = { filename: "a.bin", purpose: "evals", bytes, mime_type: "text/plain" };
  const answer = await server.ask("/v1/uploads", { method: "POST", ...json(about) });
  return (answer.json as { id: string }).id;
}

/** Both routes that take forms, with what makes a good one there. */
function routes(): { path: string; good: FormPart[] }[] {
  return [
    { path: "/v1/files", good: [purposePart, batchPart] },
    { path: partsPath, good: [dataPart] },
  ];
}

interface Attack {
  request: RawRequest;
  hint: string;
  /** Which it must have; without it any that is no fault. */
  status?: number;
}

/** The same attacks on both routes; `change` gets a form that is good there. */
async function expectAnswers(change: (good: FormPart[]) => Iterable<Attack>): Promise<void> {
  for (const { path, good } of routes()) {
    await server.each(change(good), async ({ request, hint, status }) => {
      const answer = await server.ask(path, request, `${path}: ${hint}`);
      if (status !== undefined) expect([hint, answer.status]).toEqual([hint, status]);
    });
  }
}

function posted(body: string | Uint8Array | readonly Uint8Array[], headers = {}): RawRequest {
  return { method: "POST", headers: { ...formHeaders, ...headers }, body };
}

/** Every position in the bytes but their ends. */
function insides(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length - 1 }, (_, index) => index + 1);
}

function split(bytes: Uint8Array, at: number): RawRequest {
  return posted([bytes.subarray(0, at), bytes.subarray(at)]);
}

/** The whole request as bytes, to which its headers need not be true. */
function rawRequest(
  path: string,
  body: Uint8Array,
  headers: Record<string, string | number>,
): Buffer {
  const all = {
    host: "127.0.0.1",
    authorization: server.authorization(path),
    ...formHeaders,
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), body]);
}

describe("a form that arrives in two pieces", () => {
  test("is the same part of an upload, wherever it is split", async () => {
    const bytes = formBody([dataPart]);
    const positions = insides(bytes);
    const content = String(dataPart.value).repeat(positions.length);
    const id = await newUpload(content.length);
    const ids: string[] = [];
    await server.each(positions, async (at) => {
      const answer = await server.ask(`/v1/uploads/${id}/parts`, split(bytes, at));
      ids[at - 1] = (answer.json as { id: string }).id;
    });
    const completion = { method: "POST", ...json({ part_ids: ids }) };
    const completed = await server.ask(`/v1/uploads/${id}/complete`, completion);
    const { file } = completed.json as { file: { id: string } };
    expect((await server.ask(`/v1/files/${file.id}/content`)).text).toBe(content);
  });

  const json3600 = '{"anchor":"created_at","seconds":3600}';
  test.each<[string, FormPart[]]>([
    ["dots", [{ name: "expires_after.seconds", value: "3600" }]],
    ["JSON", [{ name: "expires_after", value: json3600, type: "application/json" }]],
    ["JSON as text", [{ name: "expires_after", value: json3600 }]],
  ])("expires all the same, spelled with %s", async (_name, spelling) => {
    const bytes = formBody([purposePart, batchPart, ...spelling]);
    await server.each(insides(bytes), async (at) => {
      const { json: file } = await server.ask("/v1/files", split(bytes, at));
      const { bytes: size, created_at: from, expires_at: to } = file as Record<string, number>;
      expect([at, size, Number(to) - Number(from)]).toEqual([at, batchPart.value.length, 3_600]);
    });
  });
});

describe("a form", () => {
  test("that ends too early, at any byte, is no part of an upload", async () => {
    const bytes = formBody([dataPart]);
    // Without its last line break it is whole.
    await server.each(insides(bytes).slice(0, -2), async (length) => {
      const answer = await server.ask(partsPath, posted(bytes.subarray(0, length)));
      expect([length, answer.status]).toEqual([length, 400]);
    });
  });

  test("whose connection ends at any byte makes nothing", async () => {
    for (const { path, good } of routes()) {
      const bytes = formBody(good);
      await server.each(insides(bytes), async (length) => {
        const headers = { "content-length": bytes.length };
        const request = rawRequest(path, bytes.subarray(0, length), headers);
        const reply = await server.tell(request, `${path} closed after ${length}`);
        expect(reply?.status ?? 400).toBe(400);
      });
    }
  });

  test("with random changes", async () => {
    const random = seededRandom("FUZZ_SEED");
    console.info(`FUZZ_SEED=${random.seed}`);
    await expectAnswers((good) => {
      const bytes = formBody(good);
      return Array.from({ length: MUTATIONS }, () => {
        const changed = mutated(bytes, random);
        return { request: posted(changed), hint: changed.toString() };
      });
    });
  });

  test("with fields of odd JSON, and of odd names", async () => {
    const known = ["purpose", "file", "data", "expires_after", "expires_after[seconds]"];
    const values = known.flatMap((name) =>
      Object.values(oddJson).map((value) => ({ name, value })),
    );
    const names = oddNames.map((name) => ({ name, value: "{}" }));
    await expectAnswers((good) =>
      [...values, ...names].flatMap((field) =>
        ["application/json", "text/plain"].map((type) => ({
          request: form(...good, { ...field, type }),
          hint: `${field.name}: ${field.value.slice(0, 100)}, ${type}`,
        })),
      ),
    );
  });

  test("in which a file is called something odd", async () => {
    const names = [
      "\0",
      "a\0.jsonl",
      "../../a",
      "\\\\",
      "\u2028.jsonl",
      "x".repeat(MB),
      "é".repeat(600),
    ];
    await expectAnswers((good) =>
      [...names, ...oddNames, ...Object.values(oddJson)].map((filename) => {
        const parts = good.map((part) =>
          part.filename === undefined ? part : { ...part, filename },
        );
        return { request: form(...parts), hint: `the file name ${filename.slice(0, 50)}` };
      }),
    );
  });

  test("inside of a form", async () => {
    await expectAnswers((good) => {
      const inner = formBody(good, "inner");
      const type = "multipart/form-data; boundary=inner";
      const nested = (depth: number): Buffer =>
        depth === 0
          ? inner
          : formBody([{ name: "x", value: nested(depth - 1), type }], `b${depth}`);
      return [
        { request: form(...good, { name: "x", value: inner, type }), hint: "beside" },
        { request: form({ name: "file", value: inner, type }), hint: "as the file", status: 400 },
        { request: form({ name: "x", value: nested(50), type }), hint: "50 deep", status: 400 },
        { request: posted(inner), hint: "with another boundary", status: 400 },
        { request: posted(Buffer.concat([formBody(good), inner])), hint: "behind it" },
      ];
    });
  });

  test("that is far too much", async () => {
    const field = (count: number): FormPart[] =>
      Array.from({ length: count }, (_, index) => ({ name: `n${index}`, value: "" }));
    const long = "x".repeat(MB);
    await expectAnswers((good) => [
      { request: form(...field(10_000), ...good), hint: "10,000 fields first", status: 400 },
      { request: form(...good, ...field(10_000)), hint: "10,000 fields last", status: 400 },
      {
        request: form(...good, ...Array.from({ length: 10_000 }, () => good.at(-1)!)),
        hint: "10,000 files",
        status: 400,
      },
      { request: form({ name: long, value: "" }, ...good), hint: "a name of 1 MB" },
      { request: form({ name: "x", value: long }, ...good), hint: "a field of 1 MB" },
      { request: form({ name: "x", value: "", type: long }, ...good), hint: "a type of 1 MB" },
      { request: withBoundary("b".repeat(5_000), ...good), hint: "a boundary of 5,000 bytes" },
      { request: posted("\r\n".repeat(MB)), hint: "line breaks only", status: 400 },
      { request: posted("--a-boundary\r\n".repeat(50_000)), hint: "50,000 boundaries" },
      { request: posted(`--a-boundary\r\n${"a: b\r\n".repeat(50_000)}`), hint: "50,000 headers" },
      { request: posted(`--a-boundary\r\na:${long}`), hint: "an endless header", status: 400 },
    ]);
  });

  test.each([
    ["no boundary", "multipart/form-data"],
    ["an empty boundary", "multipart/form-data; boundary="],
    ["an empty quoted boundary", 'multipart/form-data; boundary=""'],
    ["a boundary of spaces", 'multipart/form-data; boundary="  "'],
    ["half a quoted boundary", 'multipart/form-data; boundary="a-boundary'],
    ["two boundaries", "multipart/form-data; boundary=a; boundary=a-boundary"],
    ["a coded boundary", "multipart/form-data; boundary*=utf-8''a-boundary"],
    ["an odd charset", "multipart/form-data; charset=x-none; boundary=a-boundary"],
    ["prototypes", "multipart/form-data; __proto__=a; constructor=b; boundary=a-boundary"],
    ["another subtype", "multipart/mixed; boundary=a-boundary"],
    ["nothing", ""],
    ["no type", ";;;boundary=a-boundary"],
  ])("whose type names %s", async (hint, type) => {
    await expectAnswers((good) => [
      { request: posted(formBody(good), { "content-type": type }), hint },
    ]);
  });

  test.each<[string, Record<string, string | number>]>([
    ["more than any file has", { "content-length": Number.MAX_SAFE_INTEGER }],
    ["more than a number holds", { "content-length": "9".repeat(50) }],
    ["less than nothing", { "content-length": -1 }],
    ["a fraction", { "content-length": "1.5" }],
    ["hexadecimal", { "content-length": "0x40" }],
    ["a list", { "content-length": "10, 20" }],
    ["nothing", { "content-length": 0 }],
    ["two framings", { "content-length": 10, "transfer-encoding": "chunked" }],
    ["no known framing", { "transfer-encoding": "gzip" }],
    ["chunks that are none", { "transfer-encoding": "chunked" }],
    ["no framing", {}],
  ])("whose length is said to be %s", async (hint, headers) => {
    for (const { path, good } of routes()) {
      const reply = await server.tell(rawRequest(path, formBody(good), headers), hint);
      expect(reply?.status ?? 400).toBeGreaterThanOrEqual(400);
    }
  });
});
