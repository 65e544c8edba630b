import { expect, test } from "vitest";
import {
  type AttachmentRule,
  attachmentsOf,
  findAttachmentProblem,
  imageReference,
} from "./attachments.ts";

const rules: AttachmentRule[] = [
  { ...imageReference("images", "image"), most: 2 },
  imageReference("mask"),
  { member: "file", urlMember: "url", most: null, part: "file", jsonMember: "file_url" },
];

const problemOf = (body: Record<string, unknown>) => findAttachmentProblem(body, rules);
const uploaded = { file_id: "file-1" };

test.each([
  {},
  { mask: null, images: null },
  { images: [uploaded] },
  { images: [uploaded, { image_url: "https://a/b.png", file_id: null, detail: "low" }] },
  { images: [{ image_url: "data:image/png;base64,AAAA" }], mask: uploaded },
  { file: { url: "HTTP://a" } },
  { file: uploaded },
])("%j can be sent", (body) => {
  expect(problemOf(body)).toBeUndefined();
});

const expectedUrl = "expected an http or https URL, or a data URL in base64.";
test.each([
  [{ images: "x" }, "invalid_type", "body.images", "an array of objects"],
  [{ images: ["x"] }, "invalid_type", "body.images[0]", "an object"],
  [{ images: [uploaded, null] }, "invalid_type", "body.images[1]", "an object"],
  [{ mask: [uploaded] }, "invalid_type", "body.mask", "an object"],
  [{ mask: { file_id: 7 } }, "invalid_type", "body.mask.file_id", "a string"],
  [{ file: { url: {} } }, "invalid_type", "body.file.url", "a string"],
])("%j has the wrong type", (body, code, param, expected) => {
  expect(problemOf(body)).toMatchObject({ code, param, expected });
});

test.each([
  [
    { images: [] },
    "invalid_value",
    "body.images",
    "Invalid 'body.images': expected an array with 1 to 2 elements, but got one with 0 instead.",
  ],
  [
    { images: [uploaded, uploaded, uploaded] },
    "invalid_value",
    "body.images",
    "Invalid 'body.images': expected an array with 1 to 2 elements, but got one with 3 instead.",
  ],
  [
    { images: [{}] },
    "missing_required_parameter",
    "body.images[0]",
    "Missing required parameter: 'body.images[0].file_id' or 'body.images[0].image_url'.",
  ],
  [
    { file: { image_url: "https://a" } },
    "missing_required_parameter",
    "body.file",
    "Missing required parameter: 'body.file.file_id' or 'body.file.url'.",
  ],
  [
    { mask: { file_id: "file-1", image_url: "https://a" } },
    "invalid_value",
    "body.mask",
    "Invalid 'body.mask': expected either 'file_id' or 'image_url', but got both.",
  ],
  ...[
    "ftp://a",
    "file:///etc/passwd",
    "data:image/png,x",
    "data:image/png;base64,",
    "data:image/png;base64,!!!!",
    "data:image/png;base64,AA=A",
    "http://",
    "",
  ].map((url): [object, string, string, string] => [
    { mask: { image_url: url } },
    "invalid_value",
    "body.mask.image_url",
    `Invalid 'body.mask.image_url': ${expectedUrl}`,
  ]),
])("%j has the wrong value", (body, code, param, message) => {
  expect(problemOf(body as Record<string, unknown>)).toEqual({ code, param, message });
});

test("references are found in the order of the rules, with their places", () => {
  const body = {
    mask: { image_url: "https://a" },
    images: [uploaded, { file_id: null, image_url: "data:;base64,AA" }],
    file: null,
  };
  expect(attachmentsOf(body, rules)).toEqual([
    { rule: rules[0], param: "body.images[0]", reference: { fileId: "file-1" } },
    { rule: rules[0], param: "body.images[1]", reference: { url: "data:;base64,AA" } },
    { rule: rules[1], param: "body.mask", reference: { url: "https://a" } },
  ]);
});
