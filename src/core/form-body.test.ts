import fc from "fast-check";
import { expect, test } from "vitest";
import { readForm } from "../../test/support/read-form.ts";
import { encodeForm, type FormFile } from "./form-body.ts";

const read = ({ contentType, body }: { contentType: string; body: Uint8Array }) =>
  readForm(contentType, body);

const fileOf = (change: Partial<FormFile>): FormFile => {
  const plain = { name: "file", filename: "a.png", mediaType: "image/png" };
  return { ...plain, bytes: Buffer.from("x"), ...change };
};

test("fields and files arrive as they are, in their order", () => {
  const bytes = Buffer.from([0, 13, 10, 45, 45, 255]);
  const file = fileOf({ name: "image[]", filename: "ß.png", bytes });
  const form = encodeForm(
    [
      ["prompt", "Ä \r\n--x"],
      ["n", "1"],
      ["n", "2"],
    ],
    [file, fileOf({ name: "mask" })],
  );
  expect(read(form)).toEqual([
    ["prompt", "Ä \r\n--x"],
    ["n", "1"],
    ["n", "2"],
    ["image[]", { filename: "ß.png", mediaType: "image/png", bytes }],
    ["mask", { filename: "a.png", mediaType: "image/png", bytes: Buffer.from("x") }],
  ]);
});

test.each([
  ["a quote", 'a"; name="b', 'name="a%22; name=%22b"'],
  ["line breaks", "a\r\nx: y\nz\r", 'name="a%0D%0Ax: y%0D%0Az%0D%0A"'],
  ["half a character", "a\ud800", 'name="a\ufffd"'],
])("a name with %s can't leave its place", (_what, name, head) => {
  const { body } = encodeForm([[name, "1"]], [fileOf({ name, filename: name })]);
  const text = Buffer.from(body).toString();
  expect(text.split("\r\n").filter((line) => line.startsWith("content-disposition"))).toEqual([
    `content-disposition: form-data; ${head}`,
    `content-disposition: form-data; ${head}; file${head}`,
  ]);
});

test("a media type that would be more than that is not repeated", () => {
  const { body } = encodeForm([], [fileOf({ mediaType: "image/png\r\nx: y" })]);
  expect(Buffer.from(body).toString()).toContain("\r\ncontent-type: application/octet-stream\r\n");
});

test("no two forms have the same boundary", () => {
  expect(encodeForm([], []).contentType).not.toBe(encodeForm([], []).contentType);
});

test("whatever the texts, a reader finds the same ones", () => {
  const texts = fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(texts, (values) => {
      const fields = values.map((value, at): [string, string] => [`f${at}`, value]);
      expect(read(encodeForm(fields, []))).toEqual(fields);
    }),
  );
});
