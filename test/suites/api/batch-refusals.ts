// What the routes of batches refuse.
import { type RawRequest, json } from "../../support/raw-http.ts";
import {
  type Refusal,
  type Row,
  aboveMaximum,
  bad,
  belowMinimum,
  jsonHeaders,
  missing,
  newBatch,
  post,
  unsupportedType,
  wrongType,
} from "./refusal.ts";

const endpoints =
  "'/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/images/edits', '/v1/images/generations', '/v1/moderations', '/v1/responses', and '/v1/videos'";

function create(change: Record<string, unknown>): RawRequest {
  return { method: "POST", ...json({ ...newBatch, ...change }) };
}

function without(member: keyof typeof newBatch): RawRequest {
  const { [member]: _, ...rest } = newBatch;
  return { method: "POST", ...json(rest) };
}

function expires(seconds: unknown, anchor: unknown = "created_at"): RawRequest {
  return create({ output_expires_after: { anchor, seconds } });
}

function metadata(length: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length }, (_, index) => [`k${index}`, "v"]));
}

function invalidWindow(value: string): Refusal {
  return bad(
    `Invalid value: '${value}'. Value must be '24h'.`,
    "invalid_value",
    "completion_window",
  );
}

function noBatch(id: string, param: string | null = null): Refusal {
  return { status: 404, code: null, param, message: `No batch found with id '${id}'.` };
}

function brokenJson(reason: string): Refusal {
  return bad(
    `We could not parse the JSON body of your request. Expected valid JSON in UTF-8: ${reason}.`,
  );
}

function cannotCancel(status: string): Refusal {
  const message = `Cannot cancel a batch with status '${status}'.`;
  return { status: 409, code: null, param: null, message };
}

export const batchRefusals: readonly Row[] = [
  ["no input_file_id", "/v1/batches", without("input_file_id"), missing("input_file_id")],
  ["no endpoint", "/v1/batches", without("endpoint"), missing("endpoint")],
  [
    "no completion_window",
    "/v1/batches",
    without("completion_window"),
    missing("completion_window"),
  ],
  ["nothing at all", "/v1/batches", post, missing("input_file_id")],
  [
    "an empty JSON body",
    "/v1/batches",
    { ...post, headers: jsonHeaders, body: "" },
    missing("input_file_id"),
  ],
  [
    "input_file_id a number",
    "/v1/batches",
    create({ input_file_id: 1 }),
    wrongType("input_file_id", "a string", "an integer"),
  ],
  [
    "input_file_id null",
    "/v1/batches",
    create({ input_file_id: null }),
    wrongType("input_file_id", "a string", "null"),
  ],
  [
    "endpoint an object",
    "/v1/batches",
    create({ endpoint: {} }),
    wrongType("endpoint", "a string", "an object"),
  ],
  [
    "an unknown endpoint",
    "/v1/batches",
    create({ endpoint: "/v1/invalid/endpoint" }),
    bad(
      `Invalid value: '/v1/invalid/endpoint'. Supported values are: ${endpoints}.`,
      "invalid_value",
      "endpoint",
    ),
  ],
  [
    "an endpoint without /v1",
    "/v1/batches",
    create({ endpoint: "" }),
    bad(`Invalid value: ''. Supported values are: ${endpoints}.`, "invalid_value", "endpoint"),
  ],
  ["a window of 1h", "/v1/batches", create({ completion_window: "1h" }), invalidWindow("1h")],
  ["a window of 48h", "/v1/batches", create({ completion_window: "48h" }), invalidWindow("48h")],
  [
    "a window of no time",
    "/v1/batches",
    create({ completion_window: "invalid" }),
    invalidWindow("invalid"),
  ],
  ["an empty window", "/v1/batches", create({ completion_window: "" }), invalidWindow("")],
  [
    "a window named like a property",
    "/v1/batches",
    create({ completion_window: "toString" }),
    invalidWindow("toString"),
  ],
  [
    "a window in hours",
    "/v1/batches",
    create({ completion_window: 24 }),
    wrongType("completion_window", "a string", "an integer"),
  ],
  [
    "metadata a text",
    "/v1/batches",
    create({ metadata: "x" }),
    wrongType("metadata", "an object", "a string"),
  ],
  [
    "metadata a list",
    "/v1/batches",
    create({ metadata: [] }),
    wrongType("metadata", "an object", "an array"),
  ],
  [
    "a metadata value a list",
    "/v1/batches",
    create({ metadata: { tags: ["a"] } }),
    wrongType("metadata.tags", "a string", "an array"),
  ],
  [
    "a metadata value an object",
    "/v1/batches",
    create({ metadata: { a: {} } }),
    wrongType("metadata.a", "a string", "an object"),
  ],
  [
    "a metadata value a number",
    "/v1/batches",
    create({ metadata: { a: 1 } }),
    wrongType("metadata.a", "a string", "an integer"),
  ],
  [
    "a metadata value a fraction",
    "/v1/batches",
    create({ metadata: { a: 1.5 } }),
    wrongType("metadata.a", "a string", "a decimal"),
  ],
  [
    "a metadata value a boolean",
    "/v1/batches",
    create({ metadata: { a: true } }),
    wrongType("metadata.a", "a string", "a boolean"),
  ],
  [
    "a metadata value null",
    "/v1/batches",
    create({ metadata: { "a/b": null } }),
    wrongType("metadata.a/b", "a string", "null"),
  ],
  [
    "17 metadata pairs",
    "/v1/batches",
    create({ metadata: metadata(17) }),
    bad(
      "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
      "object_above_max_properties",
      "metadata",
    ),
  ],
  [
    "a metadata value of 513 code points",
    "/v1/batches",
    create({ metadata: { k: "😀".repeat(513) } }),
    bad(
      "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length 513 instead.",
      "string_above_max_length",
      "metadata.k",
    ),
  ],
  [
    "a metadata key of 65 code points",
    "/v1/batches",
    create({ metadata: { ["é".repeat(65)]: "v" } }),
    bad(
      `Invalid property name in 'metadata': '${"é".repeat(65)}' is too long. Expected a string with maximum length 64, but got a string with length 65 instead.`,
      "property_name_above_max_length",
      `metadata.${"é".repeat(65)}`,
    ),
  ],
  [
    "output_expires_after a number",
    "/v1/batches",
    create({ output_expires_after: 3600 }),
    wrongType("output_expires_after", "an object", "an integer"),
  ],
  [
    "output_expires_after without anchor",
    "/v1/batches",
    create({ output_expires_after: { seconds: 3600 } }),
    missing("output_expires_after.anchor"),
  ],
  [
    "output_expires_after without seconds",
    "/v1/batches",
    create({ output_expires_after: { anchor: "created_at" } }),
    missing("output_expires_after.seconds"),
  ],
  [
    "another anchor",
    "/v1/batches",
    expires(3600, "now"),
    bad(
      "Invalid value: 'now'. Value must be 'created_at'.",
      "invalid_value",
      "output_expires_after.anchor",
    ),
  ],
  [
    "seconds as text",
    "/v1/batches",
    expires("3600"),
    wrongType("output_expires_after.seconds", "an integer", "a string"),
  ],
  [
    "seconds with a fraction",
    "/v1/batches",
    expires(3600.5),
    wrongType("output_expires_after.seconds", "an integer", "a decimal"),
  ],
  [
    "too few seconds",
    "/v1/batches",
    expires(3599),
    belowMinimum("output_expires_after.seconds", 3600, 3599),
  ],
  [
    "too many seconds",
    "/v1/batches",
    expires(2592001),
    aboveMaximum("output_expires_after.seconds", 2592000, 2592001),
  ],
  [
    "a body that is a list",
    "/v1/batches",
    { ...post, ...json([]) },
    bad(
      "Invalid type for the request body: expected an object, but got an array instead.",
      "invalid_type",
    ),
  ],
  ["a body that is null", "/v1/batches", { ...post, ...json(null) }, missing("input_file_id")],
  [
    "cut JSON",
    "/v1/batches",
    { ...post, headers: jsonHeaders, body: '{"a"' },
    brokenJson("Expected ':' after property name in JSON at position 4 (line 1 column 5)"),
  ],
  [
    "JSON that is not UTF-8",
    "/v1/batches",
    { ...post, headers: jsonHeaders, body: Uint8Array.of(0x22, 0xff, 0x22) },
    brokenJson("The encoded data was not valid for encoding utf-8"),
  ],
  [
    "another content type",
    "/v1/batches",
    { ...post, headers: { "content-type": "text/plain" }, body: "{}" },
    unsupportedType("text/plain", "POST /v1/batches", "application/json"),
  ],
  [
    "a content type that is none",
    "/v1/batches",
    { ...post, headers: { "content-type": "?" }, body: "{}" },
    unsupportedType("?", "POST /v1/batches", "application/json"),
  ],
  [
    "a body without a type",
    "/v1/batches",
    { ...post, body: "{}" },
    unsupportedType("", "POST /v1/batches", "application/json"),
  ],
  [
    "a body too large",
    "/v1/batches",
    { ...post, headers: jsonHeaders, body: "x".repeat(2 ** 20 + 1) },
    {
      ...bad("The request body is too large. POST /v1/batches takes at most 1048576 bytes."),
      status: 413,
    },
  ],
  [
    "a body too large in chunks",
    "/v1/batches",
    { ...post, headers: jsonHeaders, body: [Buffer.alloc(2 ** 19), Buffer.alloc(2 ** 19 + 1)] },
    {
      ...bad("The request body is too large. POST /v1/batches takes at most 1048576 bytes."),
      status: 413,
    },
  ],
  ["retrieve an unknown batch", "/v1/batches/batch_x", {}, noBatch("batch_x")],
  ["cancel an unknown batch", "/v1/batches/batch_x/cancel", post, noBatch("batch_x")],
  ["cancel a completed batch", "/v1/batches/{completed}/cancel", post, cannotCancel("completed")],
  ["cancel a failed batch", "/v1/batches/{failed}/cancel", post, cannotCancel("failed")],
  ["cancel an expired batch", "/v1/batches/{expired}/cancel", post, cannotCancel("expired")],
  [
    "cancel with broken JSON",
    "/v1/batches/batch_x/cancel",
    { ...post, headers: jsonHeaders, body: "{" },
    brokenJson("Expected property name or '}' in JSON at position 1 (line 1 column 2)"),
  ],
  ["list more than 100", "/v1/batches?limit=101", {}, aboveMaximum("limit", 100, 101)],
  ["list fewer than none", "/v1/batches?limit=-1", {}, belowMinimum("limit", 0, -1)],
  ["list a fraction", "/v1/batches?limit=1.5", {}, wrongType("limit", "an integer", "a string")],
  ["list an empty limit", "/v1/batches?limit=", {}, wrongType("limit", "an integer", "a string")],
  ["list a word", "/v1/batches?limit=ten", {}, wrongType("limit", "an integer", "a string")],
  ["list after an unknown batch", "/v1/batches?after=batch_x", {}, noBatch("batch_x", "after")],
  [
    "list by metadata without a key",
    "/v1/batches?metadata=a",
    {},
    bad(
      "Invalid 'metadata': expected metadata[key]=value, got metadata=….",
      "invalid_value",
      "metadata",
    ),
  ],
  [
    "list an unknown status",
    "/v1/batches?status=done",
    {},
    bad(
      "Invalid value: 'done'. Supported values are: 'validating', 'in_progress', 'finalizing', 'cancelling', 'completed', 'failed', 'expired', and 'cancelled'.",
      "invalid_value",
      "status",
    ),
  ],
  [
    "list after a date",
    "/v1/batches?created_after=2026-11-22",
    {},
    wrongType("created_after", "an integer", "a string"),
  ],
  [
    "list after no time",
    "/v1/batches?created_after=",
    {},
    wrongType("created_after", "an integer", "a string"),
  ],
  [
    "list after less than nothing",
    "/v1/batches?created_after=-1",
    {},
    belowMinimum("created_after", 0, -1),
  ],
  [
    "list after the end of time",
    "/v1/batches?created_after=8640000000001",
    {},
    aboveMaximum("created_after", 8_640_000_000_000, 8_640_000_000_001),
  ],
  [
    "list by 17 pairs",
    `/v1/batches?${Array.from({ length: 17 }, (_, index) => `metadata[k${index}]=v`).join("&")}`,
    {},
    bad(
      "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
      "object_above_max_properties",
      "metadata",
    ),
  ],
];
