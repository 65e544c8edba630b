import { describe, expect, it } from "vitest";
import { isMultipartForm, readMultipartForm } from "./multipart-form.ts";

const type = "multipart/form-data; boundary=b";
const field = 'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n';

function read(body: string | Buffer, contentType = type) {
  return readMultipartForm(contentType, Buffer.from(body));
}

describe("readMultipartForm", () => {
  it("reads what the platform's own FormData writes, byte for byte", async () => {
    const bytes = Buffer.from(Array.from({ length: 1_000 }, (_, index) => (index * 7) % 256));
    const tricky = Buffer.concat([bytes, Buffer.from("\r\n--\r\n\r\n-")]);
    const form = new FormData();
    form.append("prompt", "Für Élise\r\n--");
    form.append("image[]", new File([tricky], 'a "b".png', { type: "image/png" }));
    form.append("image[]", new File([], "empty.png"));
    const sent = new Response(form);
    const contentType = sent.headers.get("content-type")!;
    expect(isMultipartForm(contentType)).toBe(true);
    expect(readMultipartForm(contentType, Buffer.from(await sent.arrayBuffer()))).toEqual([
      {
        name: "prompt",
        fileName: undefined,
        contentType: undefined,
        bytes: Buffer.from("Für Élise\r\n--"),
      },
      { name: "image[]", fileName: "a %22b%22.png", contentType: "image/png", bytes: tricky },
      {
        name: "image[]",
        fileName: "empty.png",
        contentType: "application/octet-stream",
        bytes: Buffer.alloc(0),
      },
    ]);
  });

  it("takes a quoted boundary, names without quotes, headers in any case and what follows the end", () => {
    const head = 'CONTENT-TYPE: text/plain\r\ncontent-disposition:form-data; filename="x"; name=f';
    const body = `--a b\r\n${head}\r\n\r\n1\r\n--a b--\r\nepilogue`;
    expect(read(body, 'multipart/form-data; charset=utf-8; boundary="a b"')).toMatchObject([
      { name: "f", fileName: "x", contentType: "text/plain" },
    ]);
  });

  it("reads a form without parts", () => {
    expect(read("--b--\r\n")).toEqual([]);
  });

  it.each([
    ["no boundary in the type", "multipart/form-data", `--b\r\n${field}--b--`, "a boundary of 1"],
    ["another boundary", "multipart/form-data; boundary=c", `--b\r\n${field}--b--`, "at byte 0"],
    ["an empty body", type, "", "at byte 0"],
    ["an end before the first boundary's line", type, "--b", "at byte 3"],
    ["a part that breaks off", type, `--b\r\n${field}`, "the part which begins, at byte 3"],
    ["a boundary that goes on", type, `--bc\r\n${field}--b--`, "a line break"],
    ["no empty line", type, "--b\r\ncontent-type: a/b\r\n--b--", "an empty line"],
    ["no headers", type, "--b\r\n\r\n1\r\n--b--", "content-disposition"],
    ["no name", type, "--b\r\ncontent-disposition: form-data\r\n\r\n1\r\n--b--", "name="],
    ["endless headers", type, `--b\r\n${"x: y\r\n".repeat(9_000)}\r\n1\r\n--b--`, "8192 bytes"],
    ["too many parts", type, `--b\r\n${`${field}--b\r\n`.repeat(300)}`, "at most 256 parts"],
  ])("refuses %s with 400", (_, contentType, body, message) => {
    expect(read(body, contentType)).toMatchObject({
      status: 400,
      message: expect.stringContaining(message),
    });
  });

  it("refuses a form cut at any byte but those behind its end", () => {
    const whole = `--b\r\n${field}--b\r\n${field}--b--`;
    for (let length = 0; length < whole.length; length++) {
      expect(read(whole.slice(0, length))).toMatchObject({ status: 400 });
    }
    expect(read(whole)).toHaveLength(2);
  });
});

describe("isMultipartForm", () => {
  it.each(["multipart/form-data", "Multipart/Form-Data;boundary=x"])("takes %s", (contentType) => {
    expect(isMultipartForm(contentType)).toBe(true);
  });

  it.each(["", "application/json", "multipart/form-database", "multipart/mixed"])(
    "does not take %j",
    (contentType) => {
      expect(isMultipartForm(contentType)).toBe(false);
    },
  );
});
