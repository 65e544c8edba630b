// What the routes of uploads in parts refuse.
import { batchPart, form } from "../../support/multipart-form.ts";
import { type RawRequest, json } from "../../support/raw-http.ts";
import {
  MAX_BYTES,
  type Refusal,
  type Row,
  aboveMaximum,
  bad,
  belowMinimum,
  jsonHeaders,
  missing,
  post,
  unsupportedType,
  wrongType,
} from "./refusal.ts";

const newUpload = {
  filename: "in.jsonl",
  purpose: "batch",
  bytes: 10,
  mime_type: "application/jsonl",
};
const purposes = "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']";
const md5 = "0123456789abcdef0123456789abcdef";
const parts = "/v1/uploads/{upload}/parts";
const complete = "/v1/uploads/{upload}/complete";

function create(change: Record<string, unknown>): RawRequest {
  return { ...post, ...json({ ...newUpload, ...change }) };
}

function without(member: keyof typeof newUpload): RawRequest {
  const { [member]: _, ...rest } = newUpload;
  return { ...post, ...json(rest) };
}

function completion(body: Record<string, unknown>): RawRequest {
  return { ...post, ...json(body) };
}

function noUpload(id: string): Refusal {
  const message = `No such Upload object: ${id}`;
  return { status: 404, code: null, param: "upload_id", message };
}

function tooLong(param: string, maximum: number, got: number): Refusal {
  const message = `Invalid '${param}': string too long. Expected a string with maximum length ${maximum}, but got a string with length ${got} instead.`;
  return bad(message, "string_above_max_length", param);
}

function tooShort(param: string): Refusal {
  const message = `Invalid '${param}': string too short. Expected a string with minimum length 1, but got an empty string instead.`;
  return bad(message, "string_below_min_length", param);
}

const creations: [about: string, RawRequest, Refusal][] = [
  ["no filename", without("filename"), missing("filename")],
  ["no purpose", without("purpose"), missing("purpose")],
  ["no bytes", without("bytes"), missing("bytes")],
  ["no mime_type", without("mime_type"), missing("mime_type")],
  ["nothing at all", post, missing("filename")],
  [
    "a filename that is a number",
    create({ filename: 1 }),
    wrongType("filename", "a string", "an integer"),
  ],
  ["an empty filename", create({ filename: "" }), tooShort("filename")],
  [
    "a filename of 513 code points",
    create({ filename: "é".repeat(513) }),
    tooLong("filename", 512, 513),
  ],
  ["an empty mime_type", create({ mime_type: "" }), tooShort("mime_type")],
  ["an endless mime_type", create({ mime_type: "x".repeat(256) }), tooLong("mime_type", 255, 256)],
  [
    "an unknown purpose",
    create({ purpose: "x" }),
    bad(`'x' is not one of ${purposes} - 'purpose'`, null, "purpose"),
  ],
  [
    "a purpose of the server's",
    create({ purpose: "batch_output" }),
    bad(`'batch_output' is not one of ${purposes} - 'purpose'`, null, "purpose"),
  ],
  ["a purpose null", create({ purpose: null }), wrongType("purpose", "a string", "null")],
  ["no byte", create({ bytes: 0 }), belowMinimum("bytes", 1, 0)],
  ["half a byte", create({ bytes: 0.5 }), wrongType("bytes", "an integer", "a decimal")],
  ["bytes as text", create({ bytes: "10" }), wrongType("bytes", "an integer", "a string")],
  ["a batch input too large", create({ bytes: MAX_BYTES + 1 }), bad("File is too large.")],
  [
    "another file too large",
    create({ purpose: "evals", bytes: 3 * MAX_BYTES + 1 }),
    bad("File is too large."),
  ],
  [
    "a batch input of another name",
    create({ filename: "in.csv" }),
    bad("Invalid file format for Batch API. Must be .jsonl"),
  ],
  [
    "expiry without seconds",
    create({ expires_after: { anchor: "created_at" } }),
    missing("expires_after.seconds"),
  ],
  [
    "expiry too early",
    create({ expires_after: { anchor: "created_at", seconds: 3_599 } }),
    belowMinimum("expires_after.seconds", 3_600, 3_599),
  ],
  [
    "expiry too late",
    create({ expires_after: { anchor: "created_at", seconds: 2_592_001 } }),
    aboveMaximum("expires_after.seconds", 2_592_000, 2_592_001),
  ],
  [
    "expiry from another anchor",
    create({ expires_after: { anchor: "now", seconds: 3_600 } }),
    bad(
      "Invalid value: 'now'. Value must be 'created_at'.",
      "invalid_value",
      "expires_after.anchor",
    ),
  ],
  [
    "expiry as a number",
    create({ expires_after: 1 }),
    wrongType("expires_after", "an object", "an integer"),
  ],
];

const additions: [about: string, RawRequest, Refusal][] = [
  [
    "no form",
    { ...post, ...json({}) },
    unsupportedType("application/json", `POST ${parts}`, "multipart/form-data"),
  ],
  ["no data", form({ name: "user", value: "x" }), missing("data")],
  ["a file under another name", form(batchPart), missing("data")],
  [
    "nothing in it",
    form({ name: "data", value: "", filename: "p" }),
    bad("The part is empty. A part must have at least one byte.", null, "data"),
  ],
  [
    "a part too large",
    form({ name: "data", value: Buffer.alloc(MAX_BYTES + 1), filename: "p" }),
    bad(`The part is too large. A part may have at most ${MAX_BYTES} bytes.`, null, "data"),
  ],
  [
    "two parts at once",
    form({ name: "data", value: "x", filename: "p" }, { name: "data", value: "y", filename: "q" }),
    bad("We could not parse the multipart form of your request: it has more than one file."),
  ],
];

const completions: [about: string, RawRequest, Refusal][] = [
  ["no part_ids", completion({}), missing("part_ids")],
  ["no body", { ...post, headers: jsonHeaders, body: "" }, missing("part_ids")],
  [
    "part_ids a text",
    completion({ part_ids: "part_1" }),
    wrongType("part_ids", "an array", "a string"),
  ],
  [
    "no parts",
    completion({ part_ids: [] }),
    bad(
      "Invalid 'part_ids': array too short. Expected an array with minimum length 1, but got an empty array instead.",
      "array_below_min_length",
      "part_ids",
    ),
  ],
  [
    "too many parts",
    completion({ part_ids: Array.from({ length: 10_001 }, (_, index) => `part_${index}`) }),
    bad(
      "Invalid 'part_ids': array too long. Expected an array with maximum length 10000, but got an array with length 10001 instead.",
      "array_above_max_length",
      "part_ids",
    ),
  ],
  [
    "a part twice",
    completion({ part_ids: ["part_1", "part_2", "part_1"] }),
    bad(
      "Invalid 'part_ids': the items at 0 and 2 are the same. Expected an array without repeated items.",
      "invalid_value",
      "part_ids",
    ),
  ],
  [
    "a part that is a number",
    completion({ part_ids: [1] }),
    wrongType("part_ids[0]", "a string", "an integer"),
  ],
  [
    "an endless part id",
    completion({ part_ids: ["x".repeat(65)] }),
    tooLong("part_ids[0]", 64, 65),
  ],
  [
    "an unknown part",
    completion({ part_ids: ["{part}", "part_x"] }),
    bad("Invalid 'part_ids[1]': {upload} has no part 'part_x'.", "invalid_value", "part_ids[1]"),
  ],
  [
    "a part of another upload",
    completion({ part_ids: ["{foreign_part}"] }),
    bad(
      "Invalid 'part_ids[0]': {upload} has no part '{foreign_part}'.",
      "invalid_value",
      "part_ids[0]",
    ),
  ],
  [
    "too few bytes",
    completion({ part_ids: ["{part}"] }),
    bad(
      "The parts add up to 1 bytes, but the upload was created for 10 bytes.",
      "invalid_value",
      "part_ids",
    ),
  ],
  [
    "md5 a number",
    completion({ part_ids: ["{part}"], md5: 1 }),
    wrongType("md5", "a string", "an integer"),
  ],
  [
    "md5 in base64",
    completion({ part_ids: ["{part}"], md5: "CY9rzUYh03PK3k6DJie09g==" }),
    bad(
      "Invalid 'md5': string does not match pattern. Expected a string that matches the pattern '^[0-9a-fA-F]{32}$'.",
      "invalid_value",
      "md5",
    ),
  ],
];

const others: readonly Row[] = [
  [
    "part of an unknown upload",
    "/v1/uploads/upload_x/parts",
    form({ name: "data", value: "x", filename: "p" }),
    noUpload("upload_x"),
  ],
  [
    "complete an unknown upload",
    "/v1/uploads/upload_x/complete",
    completion({ part_ids: ["part_1"], md5 }),
    noUpload("upload_x"),
  ],
  ["cancel an unknown upload", "/v1/uploads/upload_x/cancel", post, noUpload("upload_x")],
  [
    "retrieve an upload",
    "/v1/uploads/{upload}",
    {},
    { status: 404, code: null, param: null, message: "Invalid URL (GET /v1/uploads/{upload})" },
  ],
];

export const uploadRefusals: readonly Row[] = [
  ...creations.map(([about, request, refusal]): Row => [
    `create: ${about}`,
    "/v1/uploads",
    request,
    refusal,
  ]),
  ...additions.map(([about, request, refusal]): Row => [`part: ${about}`, parts, request, refusal]),
  ...completions.map(([about, request, refusal]): Row => [
    `complete: ${about}`,
    complete,
    request,
    refusal,
  ]),
  ...others,
];
