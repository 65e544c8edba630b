// What the routes of files refuse.
import {
  type FormPart,
  batchForm,
  batchPart,
  form,
  formHeaders,
} from "../../support/multipart-form.ts";
import { type RawRequest, json } from "../../support/raw-http.ts";
import {
  MAX_BYTES,
  type Refusal,
  type Row,
  aboveMaximum,
  bad,
  belowMinimum,
  missing,
  post,
  unsupportedType,
  wrongType,
} from "./refusal.ts";

const purposes = "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']";
const allPurposes =
  "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals', 'assistants_output', 'batch_output', 'fine-tune-results']";

const notJsonl = bad("Invalid file format for Batch API. Must be .jsonl");
const tooLarge = bad("File is too large.");

function batchFile(change: Partial<FormPart>): RawRequest {
  return form({ name: "purpose", value: "batch" }, { ...batchPart, ...change });
}

function expiresForm(seconds: string, anchor = "created_at"): RawRequest {
  return batchForm(
    { name: "expires_after[anchor]", value: anchor },
    { name: "expires_after[seconds]", value: seconds },
  );
}

/** The files list gives neither code nor param for these. */
function bare(refusal: Refusal): Refusal {
  return { ...refusal, code: null, param: null };
}

function noFile(id: string, param = "id"): Refusal {
  return { status: 404, code: null, param, message: `No such File object: ${id}` };
}

function brokenForm(reason: string): Refusal {
  return bad(`We could not parse the multipart form of your request: ${reason}.`);
}

export const fileRefusals: readonly Row[] = [
  [
    "no form",
    "/v1/files",
    { ...post, ...json({}) },
    unsupportedType("application/json", "POST /v1/files", "multipart/form-data"),
  ],
  ["no body", "/v1/files", post, unsupportedType("", "POST /v1/files", "multipart/form-data")],
  [
    "a form without a boundary",
    "/v1/files",
    { ...post, headers: { "content-type": "multipart/form-data" }, body: "x" },
    brokenForm("Multipart: Boundary not found"),
  ],
  [
    "a form that is none",
    "/v1/files",
    { ...post, headers: formHeaders, body: "hello" },
    brokenForm("Unexpected end of multipart data"),
  ],
  ["an empty form", "/v1/files", { ...post, headers: formHeaders, body: "" }, missing("file")],
  ["no file", "/v1/files", form({ name: "purpose", value: "batch" }), missing("file")],
  [
    "a file under another name",
    "/v1/files",
    form({ name: "purpose", value: "batch" }, { ...batchPart, name: "upload" }),
    missing("file"),
  ],
  ["no purpose", "/v1/files", form(batchPart), missing("purpose")],
  ["two files", "/v1/files", batchForm(batchPart), brokenForm("it has more than one file")],
  [
    "too many fields",
    "/v1/files",
    batchForm(...Array.from({ length: 16 }, (_, index) => ({ name: `f${index}`, value: "" }))),
    brokenForm("it has more than 16 fields"),
  ],
  [
    "an unknown purpose",
    "/v1/files",
    form({ name: "purpose", value: "x" }, batchPart),
    bad(`'x' is not one of ${purposes} - 'purpose'`, null, "purpose"),
  ],
  [
    "a purpose of the server's",
    "/v1/files",
    form({ name: "purpose", value: "batch_output" }, batchPart),
    bad(`'batch_output' is not one of ${purposes} - 'purpose'`, null, "purpose"),
  ],
  [
    "an unknown purpose after the file",
    "/v1/files",
    form(batchPart, { name: "purpose", value: "Batch" }),
    bad(`'Batch' is not one of ${purposes} - 'purpose'`, null, "purpose"),
  ],
  ["another extension", "/v1/files", batchFile({ filename: "in.json" }), notJsonl],
  ["an empty file", "/v1/files", batchFile({ value: "" }), notJsonl],
  [
    "an empty file without a name",
    "/v1/files",
    batchFile({ value: "", filename: "upload" }),
    notJsonl,
  ],
  ["blank lines only", "/v1/files", batchFile({ value: "\n\r\n" }), notJsonl],
  ["a first line that is no JSON", "/v1/files", batchFile({ value: "custom_id\n{}\n" }), notJsonl],
  [
    "a first line that is no JSON, without a name",
    "/v1/files",
    batchFile({ value: "a,b\n", filename: "unknown_file" }),
    notJsonl,
  ],
  [
    "a batch input too large",
    "/v1/files",
    batchFile({ value: "1".repeat(MAX_BYTES + 1) }),
    tooLarge,
  ],
  [
    "a batch input too large before its purpose",
    "/v1/files",
    form({ ...batchPart, value: "1".repeat(MAX_BYTES + 1) }, { name: "purpose", value: "batch" }),
    tooLarge,
  ],
  [
    "another file too large",
    "/v1/files",
    form(
      { name: "purpose", value: "evals" },
      { ...batchPart, value: Buffer.alloc(2 * MAX_BYTES + 1) },
    ),
    tooLarge,
  ],
  [
    "a file name of 513 code points",
    "/v1/files",
    batchFile({ filename: `${"é".repeat(507)}.jsonl` }),
    bad(
      "Invalid 'filename': string too long. Expected a string with maximum length 512, but got a string with length 513 instead.",
      "string_above_max_length",
      "filename",
    ),
  ],
  [
    "expiry too early",
    "/v1/files",
    expiresForm("3599"),
    belowMinimum("expires_after.seconds", 3600, 3599),
  ],
  [
    "expiry in the past",
    "/v1/files",
    expiresForm("-1"),
    belowMinimum("expires_after.seconds", 3600, -1),
  ],
  [
    "expiry too late",
    "/v1/files",
    expiresForm("2592001"),
    aboveMaximum("expires_after.seconds", 2592000, 2592001),
  ],
  [
    "expiry that is no number",
    "/v1/files",
    expiresForm("1h"),
    wrongType("expires_after.seconds", "an integer", "a string"),
  ],
  [
    "expiry from another anchor",
    "/v1/files",
    expiresForm("3600", "now"),
    bad(
      "Invalid value: 'now'. Value must be 'created_at'.",
      "invalid_value",
      "expires_after.anchor",
    ),
  ],
  [
    "expiry without an anchor",
    "/v1/files",
    batchForm({ name: "expires_after[seconds]", value: "3600" }),
    missing("expires_after.anchor"),
  ],
  [
    "expiry without seconds",
    "/v1/files",
    batchForm({ name: "expires_after[anchor]", value: "created_at" }),
    missing("expires_after.seconds"),
  ],
  [
    "expiry as JSON without an anchor",
    "/v1/files",
    batchForm({ name: "expires_after", value: '{"seconds":3600}' }),
    missing("expires_after.anchor"),
  ],
  [
    "expiry as JSON with a fraction",
    "/v1/files",
    batchForm({ name: "expires_after", value: '{"anchor":"created_at","seconds":3600.5}' }),
    wrongType("expires_after.seconds", "an integer", "a decimal"),
  ],
  [
    "expiry as a bare number",
    "/v1/files",
    batchForm({ name: "expires_after", value: "3600" }),
    wrongType("expires_after", "an object", "an integer"),
  ],
  [
    "expiry as no JSON",
    "/v1/files",
    batchForm({ name: "expires_after", value: "{" }),
    wrongType("expires_after", "an object", "a string"),
  ],
  ["retrieve an unknown file", "/v1/files/file-x", {}, noFile("file-x")],
  ["retrieve a deleted file", "/v1/files/{deleted}", {}, noFile("{deleted}")],
  ["delete an unknown file", "/v1/files/file-x", { method: "DELETE" }, noFile("file-x")],
  ["delete a deleted file", "/v1/files/{deleted}", { method: "DELETE" }, noFile("{deleted}")],
  ["download an unknown file", "/v1/files/file-x/content", {}, noFile("file-x")],
  ["download a deleted file", "/v1/files/{deleted}/content", {}, noFile("{deleted}")],
  [
    "download user data",
    "/v1/files/{user_data}/content",
    {},
    bad("Not allowed to download files of purpose: user_data"),
  ],
  [
    "download for assistants",
    "/v1/files/{assistants}/content",
    {},
    bad("Not allowed to download files of purpose: assistants"),
  ],
  [
    "download for vision",
    "/v1/files/{vision}/content",
    {},
    bad("Not allowed to download files of purpose: vision"),
  ],
  ["list none", "/v1/files?limit=0", {}, bare(belowMinimum("limit", 1, 0))],
  [
    "list more than 10,000",
    "/v1/files?limit=10001",
    {},
    bare(aboveMaximum("limit", 10_000, 10_001)),
  ],
  ["list a word", "/v1/files?limit=x", {}, bare(wrongType("limit", "an integer", "a string"))],
  [
    "list in another order",
    "/v1/files?order=up",
    {},
    bad("Invalid value: 'up'. Supported values are: 'asc' and 'desc'."),
  ],
  [
    "list in an empty order",
    "/v1/files?order=",
    {},
    bad("Invalid value: ''. Supported values are: 'asc' and 'desc'."),
  ],
  [
    "list an unknown purpose",
    "/v1/files?purpose=x",
    {},
    bad(`'x' is not one of ${allPurposes} - 'purpose'`, null, "purpose"),
  ],
  [
    "list an upper-case purpose",
    "/v1/files?purpose=BATCH",
    {},
    bad(`'BATCH' is not one of ${allPurposes} - 'purpose'`, null, "purpose"),
  ],
  ["list after an unknown file", "/v1/files?after=file-x", {}, noFile("file-x", "after")],
];
