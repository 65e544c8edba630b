import { expect, test } from "vitest";
import { ApiError } from "../core/api-error.ts";
import type { Batch } from "../core/batch.ts";
import { noUsage } from "../core/usage.ts";
import { batchToWire, errorToWire, fileToWire, modelsToWire, pageToWire } from "./wire.ts";

const batch: Batch = {
  id: "batch_1",
  projectId: "default",
  endpoint: "/v1/chat/completions",
  completionWindow: "24h",
  inputFileId: "file-in",
  metadata: null,
  outputExpiresAfterSeconds: 3_600,
  status: "validating",
  ending: null,
  model: null,
  errors: null,
  outputFileId: null,
  errorFileId: null,
  createdAt: 1_760_731_584_999,
  inProgressAt: null,
  expiresAt: 1_760_817_984_999,
  finalizingAt: null,
  completedAt: null,
  failedAt: null,
  expiredAt: null,
  cancellingAt: null,
  cancelledAt: null,
  counts: { total: 0, completed: 0, failed: 0 },
  usage: noUsage(),
  planningStartedAt: null,
  planKey: null,
  waitingReason: "why",
};

test("a new batch has every member, in order, null where there is nothing", () => {
  expect(JSON.stringify(batchToWire(batch))).toBe(
    '{"id":"batch_1","object":"batch","endpoint":"/v1/chat/completions","model":null,"errors":null,' +
      '"input_file_id":"file-in","completion_window":"24h","status":"validating",' +
      '"output_file_id":null,"error_file_id":null,"created_at":1760731584,"in_progress_at":null,' +
      '"expires_at":1760817984,"finalizing_at":null,"completed_at":null,"failed_at":null,' +
      '"expired_at":null,"cancelling_at":null,"cancelled_at":null,' +
      '"request_counts":{"total":0,"completed":0,"failed":0},' +
      '"usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0,' +
      '"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0}},' +
      '"metadata":null}',
  );
});

test("every member of a batch arrives under its own name", () => {
  const full: Batch = {
    ...batch,
    model: "m",
    errors: [{ code: "c", message: "text", param: null, line: 2 }],
    outputFileId: "file-out",
    errorFileId: "file-err",
    inProgressAt: 2_000,
    finalizingAt: 3_000,
    completedAt: 4_000,
    failedAt: 5_000,
    expiredAt: 6_000,
    cancellingAt: 7_000,
    cancelledAt: 8_000,
    counts: { total: 3, completed: 2, failed: 1 },
    usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, cachedTokens: 4, reasoningTokens: 5 },
    metadata: { k: "v" },
  };
  expect(batchToWire(full)).toMatchObject({
    model: "m",
    errors: { object: "list", data: [{ code: "c", message: "text", param: null, line: 2 }] },
    output_file_id: "file-out",
    error_file_id: "file-err",
    in_progress_at: 2,
    finalizing_at: 3,
    completed_at: 4,
    failed_at: 5,
    expired_at: 6,
    cancelling_at: 7,
    cancelled_at: 8,
    request_counts: { total: 3, completed: 2, failed: 1 },
    usage: {
      input_tokens: 1,
      output_tokens: 2,
      total_tokens: 3,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens_details: { reasoning_tokens: 5 },
    },
    metadata: { k: "v" },
  });
});

test("a file has its nine members in order", () => {
  const file = {
    id: "file-1",
    projectId: "default",
    purpose: "batch" as const,
    filename: "in.jsonl",
    sizeBytes: 148,
    sha256: "00",
    blobKey: "files/file-1",
    createdAt: 1_760_731_580_000,
    expiresAt: null,
  };
  expect(JSON.stringify(fileToWire(file))).toBe(
    '{"object":"file","id":"file-1","purpose":"batch","filename":"in.jsonl","bytes":148,' +
      '"created_at":1760731580,"expires_at":null,"status":"processed","status_details":null}',
  );
});

test("a page names its first and last", () => {
  const item = (id: string) => ({ id });
  expect(pageToWire({ data: ["a", "b", "c"], hasMore: true }, item)).toEqual({
    object: "list",
    data: [{ id: "a" }, { id: "b" }, { id: "c" }],
    first_id: "a",
    last_id: "c",
    has_more: true,
  });
  expect(JSON.stringify(pageToWire({ data: [], hasMore: false }, item))).toBe(
    '{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}',
  );
});

test("models are a plain list", () => {
  expect(modelsToWire([{ id: "m", createdAt: 1_500, ownedBy: "llama" }])).toEqual({
    object: "list",
    data: [{ id: "m", object: "model", created: 1, owned_by: "llama" }],
  });
});

test("an error has all four members", () => {
  expect(JSON.stringify(errorToWire(new ApiError(400, "No.")))).toBe(
    '{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":null}}',
  );
});
