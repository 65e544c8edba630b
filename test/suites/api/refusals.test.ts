// Every refusal that the API gives at once, one row each: what was sent, and the status, code, param
// and message that come back. The type is `invalid_request_error` throughout.
import { afterAll, beforeAll, expect, test } from "vitest";
import { StorageFullError, StorageUnavailableError } from "../../../src/core/store.ts";
import { type ApiStack, startEmbeddedApi } from "../../support/api-stack.ts";
import { bring } from "../../support/batch-states.ts";
import { batchForm, batchPart, form, partForm } from "../../support/multipart-form.ts";
import { type RawRequest, json, send } from "../../support/raw-http.ts";
import { batchRefusals } from "./batch-refusals.ts";
import { fileRefusals } from "./file-refusals.ts";
import { MAX_BYTES, type Refusal, type Row, bad, jsonHeaders, newBatch, post } from "./refusal.ts";
import { uploadRefusals } from "./upload-refusals.ts";

let api: ApiStack;
/** Ids of files and batches, by the placeholders of the tables. */
const ids: Record<string, string> = {};

beforeAll(async () => {
  const limits = {
    batchFileSizeBytes: MAX_BYTES,
    fileSizeBytes: 2 * MAX_BYTES,
    uploadSizeBytes: 3 * MAX_BYTES,
    partSizeBytes: MAX_BYTES,
  };
  api = await startEmbeddedApi({ limits });
  for (const purpose of ["user_data", "assistants", "vision", "deleted"]) {
    const value = purpose === "deleted" ? "evals" : purpose;
    const answer = await send(
      api.baseUrl,
      "/v1/files",
      form({ name: "purpose", value }, batchPart),
    );
    ids[purpose] = (answer.json as { id: string }).id;
  }
  await send(api.baseUrl, `/v1/files/${ids["deleted"]}`, { method: "DELETE" });
  for (const [upload, part] of [
    ["upload", "part"],
    ["foreign_upload", "foreign_part"],
  ] as const) {
    const about = { filename: "a", purpose: "evals", bytes: 10, mime_type: "text/plain" };
    const created = await send(api.baseUrl, "/v1/uploads", { method: "POST", ...json(about) });
    ids[upload] = (created.json as { id: string }).id;
    const path = `/v1/uploads/${ids[upload]}/parts`;
    ids[part] = ((await send(api.baseUrl, path, partForm("x"))).json as { id: string }).id;
  }
  for (const status of ["completed", "failed", "expired"] as const) {
    const answer = await send(api.baseUrl, "/v1/batches", { method: "POST", ...json(newBatch) });
    const { id } = answer.json as { id: string };
    ids[status] = id;
    await bring(api.store, { id }, status);
  }
});
afterAll(() => api.close());

const otherRefusals: readonly Row[] = [
  [
    "an unknown path",
    "/v1/nothing?x=1",
    post,
    { ...bad("Invalid URL (POST /v1/nothing)"), status: 404 },
  ],
  [
    "an unknown path with a large body",
    "/v1/nothing",
    { ...post, body: Buffer.alloc(3_000_000) },
    { ...bad("Invalid URL (POST /v1/nothing)"), status: 404 },
  ],
  ["a path outside the API", "/", {}, { ...bad("Invalid URL (GET /)"), status: 404 }],
  [
    "a path that can't be decoded",
    "/v1/files/%zz",
    {},
    { ...bad("Invalid URL (GET /v1/files/%zz)"), status: 404 },
  ],
  [
    "an id longer than any",
    `/v1/files/${"x".repeat(600)}`,
    {},
    { ...bad(`Invalid URL (GET /v1/files/${"x".repeat(600)})`), status: 404 },
  ],
  [
    "a known path with another method",
    "/v1/batches",
    { method: "PUT" },
    { ...bad("Invalid method for URL (PUT /v1/batches)"), status: 405 },
  ],
  [
    "a preflight",
    "/v1/files",
    { method: "OPTIONS" },
    { ...bad("Invalid method for URL (OPTIONS /v1/files)"), status: 405 },
  ],
  [
    "an unknown model",
    "/v1/models/none",
    {},
    {
      status: 404,
      code: "model_not_found",
      param: "model",
      message: "The model 'none' does not exist.",
    },
  ],
  [
    "another host's name",
    "/v1/files",
    { headers: { host: "rebound.example:8024" } },
    {
      status: 403,
      code: "host_not_allowed",
      param: null,
      message:
        "Host 'rebound.example:8024' is not this machine. The server serves this machine only: use http://127.0.0.1, or make API keys with `offpeak keys create --project NAME`.",
    },
  ],
  [
    "a page of another site",
    "/v1/batches",
    { ...post, ...json(newBatch), headers: { ...jsonHeaders, origin: "https://evil.example" } },
    {
      status: 403,
      code: "origin_not_allowed",
      param: null,
      message: "Requests from web pages of another origin ('https://evil.example') are refused.",
    },
  ],
  [
    "a page without an origin",
    "/v1/files",
    { headers: { origin: "null" } },
    {
      status: 403,
      code: "origin_not_allowed",
      param: null,
      message: "Requests from web pages of another origin ('null') are refused.",
    },
  ],
];

function withIds(text: string): string {
  return text.replaceAll(/\{([a-z_]+)\}/g, (_, name: string) => ids[name] ?? name);
}

async function expectRefusal(path: string, request: RawRequest, refusal: Refusal): Promise<void> {
  const sent =
    typeof request.body === "string" ? { ...request, body: withIds(request.body) } : request;
  const { status, headers, json: body } = await send(api.baseUrl, withIds(path), sent);
  const { status: expected, code, param, message } = refusal;
  const error = { message: withIds(message), type: "invalid_request_error", param, code };
  expect({ status, body }).toEqual({ status: expected, body: { error } });
  expect(Object.keys((body as { error: object }).error)).toEqual([
    "message",
    "type",
    "param",
    "code",
  ]);
  expect(headers["content-type"]).toBe("application/json; charset=utf-8");
  expect(headers["x-request-id"]).toMatch(/^req_[0-9a-f]{32}$/);
  expect(headers["x-should-retry"]).toBe(status === 409 ? "false" : undefined);
}

test.each(batchRefusals)("batches: %s", (_name, path, request, refusal) =>
  expectRefusal(path, request, refusal),
);
test.each(fileRefusals)("files: %s", (_name, path, request, refusal) =>
  expectRefusal(path, request, refusal),
);
test.each(uploadRefusals)("uploads: %s", (_name, path, request, refusal) =>
  expectRefusal(path, request, refusal),
);
test.each(otherRefusals)("everywhere: %s", (_name, path, request, refusal) =>
  expectRefusal(path, request, refusal),
);

const outOfSpace = {
  error: {
    message: "The server is out of disk space. Delete files or make room, and try again.",
    type: "server_error",
    param: null,
    code: "insufficient_storage",
  },
};

test("files: no room left", async () => {
  const full = await startEmbeddedApi({ freeSpaceFloorBytes: Number.MAX_SAFE_INTEGER });
  const answer = await send(full.baseUrl, "/v1/files", batchForm());
  expect(answer).toMatchObject({ status: 503, json: outOfSpace });
  await full.close();
});

test("batches: no room left in the database", async () => {
  const full = await startEmbeddedApi();
  full.store.batches.insert = () => Promise.reject(new StorageFullError("no room"));
  const answer = await send(full.baseUrl, "/v1/batches", { method: "POST", ...json(newBatch) });
  expect(answer).toMatchObject({ status: 503, json: outOfSpace, headers: { "retry-after": "8" } });
  await full.close();
});

test("batches: the database cannot be reached", async () => {
  const away = await startEmbeddedApi();
  away.store.batches.insert = () => Promise.reject(new StorageUnavailableError("no database"));
  const answer = await send(away.baseUrl, "/v1/batches", { method: "POST", ...json(newBatch) });
  expect(answer).toMatchObject({
    status: 503,
    json: { error: { type: "server_error", code: "storage_unavailable" } },
    headers: { "retry-after": "8" },
  });
  expect(away.log.join()).toContain("no database");
  await away.close();
});

test("no refusal has made a file or a batch", async () => {
  const { json: batchList } = await send(api.baseUrl, "/v1/batches?limit=100");
  expect((batchList as { data: object[] }).data).toHaveLength(3);
  const { json: fileList } = await send(api.baseUrl, "/v1/files");
  expect((fileList as { data: object[] }).data).toHaveLength(3);
});
