// What the SDKs of other languages put on the wire, byte by byte, and what they can't live without in an
// answer. None of them runs here: their habits are replayed as their sources describe them.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { chatLine, SIMULATED_MODEL } from "../support/input-file.ts";
import { batchForm, batchPart, form, type FormPart } from "../support/multipart-form.ts";
import { type Answer, json, type RawRequest, send } from "../support/raw-http.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace } from "../support/workplace.ts";

interface WireFile {
  id: string;
  filename: string;
  created_at: number;
  expires_at: number;
}

interface WireBatch {
  id: string;
  status: string;
  metadata: Record<string, unknown> | null;
  errors: { data: { code: string }[] } | null;
  output_file_id: string | null;
}

interface Page {
  data: { id: string }[];
  last_id: string | null;
  has_more: boolean;
}

const simulator = new Simulator({ models: [SIMULATED_MODEL], outputTokens: 4 });
const place = openWorkplace();
let server: ServerProcess;

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  server = await ServerProcess.start({
    folder: place.path("."),
    config: {
      upstreams: [upstream(baseUrl)],
      cancel_grace_ms: 200,
      project_limits: { batches_per_hour: 60 },
    },
  });
});
afterAll(async () => {
  await server?.kill();
  await simulator.stop();
  place[Symbol.dispose]();
});

const ask = (path: string, request: RawRequest = {}) => send(server.url, path, request);
const purpose: FormPart = { name: "purpose", value: "batch" };
const lineOf = (prompt: string) => {
  const { customId, url, body } = chatLine({ customId: "a", prompt });
  return `${JSON.stringify({ custom_id: customId, method: "POST", url, body })}\n`;
};

async function uploaded(request: RawRequest): Promise<WireFile> {
  const answer = await ask("/v1/files", request);
  expect(answer).toMatchObject({ status: 200, json: { object: "file", status: "processed" } });
  return answer.json as WireFile;
}

async function createBatch(prompt = "Say hi."): Promise<WireBatch> {
  const file = { ...batchPart, value: lineOf(prompt) };
  const { id } = await uploaded(form(purpose, file));
  const request = {
    input_file_id: id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  };
  const answer = await ask("/v1/batches", { method: "POST", ...json(request) });
  expect(answer.status).toBe(200);
  return answer.json as WireBatch;
}

async function retrieve(id: string): Promise<Answer> {
  return ask(`/v1/batches/${id}`);
}

async function ended(id: string): Promise<WireBatch> {
  return until(`batch ${id} to end`, async () => {
    const batch = (await retrieve(id)).json as WireBatch;
    return ["completed", "failed", "cancelled", "expired"].includes(batch.status) && batch;
  });
}

function lifetime({ created_at: from, expires_at: to }: WireFile): number {
  return to - from;
}

describe("python", () => {
  const emptyJson: RawRequest = {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: "",
  };

  it("cancels a batch with a JSON content type and zero bytes", async () => {
    const { id } = await createBatch("[simulate: hang]");
    const answer = await ask(`/v1/batches/${id}/cancel`, emptyJson);
    expect(answer).toMatchObject({ status: 200, json: { id, status: "cancelling" } });
    expect((await ended(id)).status).toBe("cancelled");
  });

  it("cancels an upload with a JSON content type and zero bytes", async () => {
    const members = { filename: "a.jsonl", purpose: "batch", bytes: 5, mime_type: "text/jsonl" };
    const begun = await ask("/v1/uploads", { method: "POST", ...json(members) });
    const { id } = begun.json as { id: string };
    const answer = await ask(`/v1/uploads/${id}/cancel`, emptyJson);
    expect(answer).toMatchObject({ status: 200, json: { id, status: "cancelled", file: null } });
  });

  it("names raw bytes `upload`", async () => {
    const file = await uploaded(form(purpose, { ...batchPart, filename: "upload" }));
    expect(file.filename).toBe("upload");
  });

  it("sends expires_after in brackets, and the file last", async () => {
    const expires: FormPart[] = [
      { name: "expires_after[anchor]", value: "created_at" },
      { name: "expires_after[seconds]", value: "7200" },
    ];
    expect(lifetime(await uploaded(form(purpose, ...expires, batchPart)))).toBe(7_200);
  });

  it("asks for content with Accept: application/binary", async () => {
    const { id } = await uploaded(batchForm());
    const answer = await ask(`/v1/files/${id}/content`, {
      headers: { accept: "application/binary" },
    });
    expect(answer).toMatchObject({ status: 200, text: batchPart.value });
    expect(answer.headers["content-type"]).toBe("application/octet-stream");
  });

  it("uploads in parts, and completes with the md5 of all bytes", async () => {
    const content = lineOf("In parts.");
    const members = { filename: "a.jsonl", purpose: "batch", mime_type: "text/jsonl" };
    const begun = await ask("/v1/uploads", {
      method: "POST",
      ...json({ ...members, bytes: content.length }),
    });
    const { id } = begun.json as { id: string };
    const partIds: string[] = [];
    for (const value of [content.slice(0, 10), content.slice(10)]) {
      const part = { name: "data", value, filename: "upload", type: "application/octet-stream" };
      const answer = await ask(`/v1/uploads/${id}/parts`, form(part));
      partIds.push((answer.json as { id: string }).id);
    }
    const md5 = createHash("md5").update(content).digest("hex");
    const done = await ask(`/v1/uploads/${id}/complete`, {
      method: "POST",
      ...json({ part_ids: partIds, md5 }),
    });
    expect(done).toMatchObject({ status: 200, json: { status: "completed" } });
  });
});

describe("ruby", () => {
  const file: FormPart = { name: "file", value: batchPart.value, type: "text/plain" };

  it("< 0.79 sends expires_after as one part of JSON, and a file without a name as plain text", async () => {
    const expires = { name: "expires_after", value: '{"anchor":"created_at","seconds":7200}' };
    const sent = await uploaded(form(file, purpose, expires));
    expect([sent.filename, lifetime(sent)]).toEqual(["upload", 7_200]);
  });

  it(">= 0.79 names a raw string `upload` and uses brackets", async () => {
    const sent = await uploaded(
      form(
        { ...file, filename: "upload", type: "application/octet-stream" },
        purpose,
        { name: "expires_after[anchor]", value: "created_at" },
        { name: "expires_after[seconds]", value: "3600" },
      ),
    );
    expect([sent.filename, lifetime(sent)]).toEqual(["upload", 3_600]);
  });

  it("puts the file before the purpose", async () => {
    expect((await uploaded(form(batchPart, purpose))).filename).toBe("in.jsonl");
  });

  it("sends bodies of 1,048,224 bytes, at which a parser once misread the purpose", async () => {
    const overhead = Buffer.byteLength(form(file, purpose).body as Buffer) - file.value.length;
    const bytes = 1_048_224 - overhead;
    const value = `{"a":"${"x".repeat(bytes - 9)}"}\n`;
    const request = form({ ...file, value }, purpose);
    expect((request.body as Buffer).length).toBe(1_048_224);
    expect(await uploaded(request)).toMatchObject({ purpose: "batch", bytes });
  });

  it("trusts has_more alone: it is false on an empty page", async () => {
    for (const path of ["/v1/batches?limit=0", "/v1/files?purpose=vision"]) {
      expect((await ask(path)).json).toMatchObject({ data: [], has_more: false });
    }
  });
});

describe("go", () => {
  it("< 3.12 sends expires_after with dots, before 3.30 without its anchor", async () => {
    const seconds = { name: "expires_after.seconds", value: "7200" };
    const anchor = { name: "expires_after.anchor", value: "created_at" };
    expect(lifetime(await uploaded(batchForm(anchor, seconds)))).toBe(7_200);
    expect(lifetime(await uploaded(batchForm(seconds)))).toBe(7_200);
  });

  it("names a bare reader `anonymous_file`", async () => {
    const sent = await uploaded(form(purpose, { ...batchPart, filename: "anonymous_file" }));
    expect(sent.filename).toBe("anonymous_file");
  });
});

describe("node", () => {
  it("names content without a name `unknown_file`", async () => {
    const sent = await uploaded(form(purpose, { ...batchPart, filename: "unknown_file" }));
    expect(sent.filename).toBe("unknown_file");
  });

  it("cancels with neither a body nor a type", async () => {
    const { id } = await createBatch("[simulate: hang]");
    const answer = await ask(`/v1/batches/${id}/cancel`, { method: "POST" });
    expect(answer).toMatchObject({ status: 200, json: { status: "cancelling" } });
  });

  it("decodes JSON under application/json only", async () => {
    for (const path of ["/v1/batches", "/v1/files", "/v1/models", "/v1/nothing"]) {
      expect((await ask(path)).headers["content-type"]).toMatch(/^application\/json/);
    }
  });
});

describe("java", () => {
  it("asks until a page is empty, whatever has_more says", async () => {
    for (let made = 0; made < 5; made += 1) await createBatch();
    for (const path of ["/v1/batches", "/v1/files"]) {
      const seen = new Set<string>();
      for (let after = ""; ;) {
        const answer = await ask(`${path}?limit=2${after}`);
        expect(answer.status).toBe(200);
        const page = answer.json as Page;
        if (page.data.length === 0) break;
        for (const { id } of page.data) {
          expect(seen).not.toContain(id);
          seen.add(id);
        }
        after = `&after=${page.last_id}`;
      }
      expect(seen.size).toBeGreaterThanOrEqual(5);
    }
  });
});

describe(".NET", () => {
  it("takes whole numbers for times, strings in metadata, and statuses and purposes it knows", async () => {
    const { id } = await createBatch();
    const batch = (await ended(id)) as WireBatch & Record<string, unknown>;
    const { json: output } = await ask(`/v1/files/${batch.output_file_id}`);
    for (const object of [batch, output as Record<string, unknown>]) {
      const times = Object.entries(object).filter(([name]) => name.endsWith("_at"));
      expect(times.length).toBeGreaterThan(1);
      for (const [, at] of times) expect(at === null || Number.isInteger(at)).toBe(true);
    }
    expect(output).toMatchObject({ status: "processed", purpose: "batch_output" });
    expect(batch.metadata).toBeNull();
  });

  it("finds null, never an empty string, where there is no file", async () => {
    const { text } = await retrieve((await createBatch()).id);
    expect(text).toContain('"error_file_id":null');
    expect(text).not.toContain('""');
  });
});

describe("all SDKs", () => {
  it("send x-stainless headers, which mean nothing", async () => {
    const headers = {
      "x-stainless-lang": "java",
      "x-stainless-retry-count": "2",
      "x-stainless-timeout": "600",
      "x-stainless-runtime-version": "21",
      "openai-organization": "org-a",
      "openai-project": "proj_a",
    };
    expect((await ask("/v1/models", { headers })).json).toEqual((await ask("/v1/models")).json);
  });

  it("repeat a 409 unless x-should-retry says false", async () => {
    const { id } = await createBatch();
    await ended(id);
    const answer = await ask(`/v1/batches/${id}/cancel`, { method: "POST" });
    expect(answer.status).toBe(409);
    expect(answer.headers["x-should-retry"]).toBe("false");
  });

  it("show the x-request-id of a refusal", async () => {
    const { headers } = await ask("/v1/batches/batch_nobody");
    expect(headers["x-request-id"]).toMatch(/^req_[0-9a-f]{32}$/);
  });

  it("are told of an input file that is not there by the batch, not by the create", async () => {
    const request = {
      input_file_id: "file-gone",
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const answer = await ask("/v1/batches", { method: "POST", ...json(request) });
    expect(answer).toMatchObject({ status: 200, json: { status: "validating" } });
    const batch = await ended((answer.json as WireBatch).id);
    expect(batch).toMatchObject({
      status: "failed",
      errors: { data: [{ code: "invalid_request" }] },
    });
  });

  // The last one, for it uses up the batches of this hour.
  it("honour waits of different lengths: Retry-After stays within the 8 s that all of them do", async () => {
    const refused = await until("a 429", async () => {
      const body = {
        input_file_id: "file-x",
        endpoint: "/v1/chat/completions",
        completion_window: "24h",
      };
      const answer = await ask("/v1/batches", { method: "POST", ...json(body) });
      return answer.status === 429 && answer;
    });
    const seconds = Number(refused.headers["retry-after"]);
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(8);
  });
});
