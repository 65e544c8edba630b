import { hash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readInferenceRequest } from "./inference-request.ts";

const model = "m";
const [first, second, mask] = ["first image", "second image", "the mask"].map((text) =>
  Buffer.from(text),
) as [Buffer, Buffer, Buffer];

function readJson(path: string, body: object) {
  return readInferenceRequest(`/v1/${path}`, Buffer.from(JSON.stringify(body)), "application/json");
}

async function readForm(path: string, entries: [string, string | File][]) {
  const form = new FormData();
  for (const [name, value] of entries) form.append(name, value);
  const sent = new Response(form);
  const body = Buffer.from(await sent.arrayBuffer());
  return readInferenceRequest(`/v1/${path}`, body, sent.headers.get("content-type")!);
}

function png(bytes: Buffer, name = "a.png"): File {
  return new File([Uint8Array.from(bytes)], name, { type: "image/png" });
}

function dataUrl(bytes: Buffer): string {
  return `data:image/png;base64,${bytes.toString("base64")}`;
}

function reported(member: string, bytes: Buffer, file_name: string | null = null) {
  const sha256 = hash("sha256", bytes);
  return { member, sha256, size_bytes: bytes.length, content_type: "image/png", file_name };
}

describe("image edits", () => {
  it("report the images and the mask of a JSON body in their order", () => {
    const images = [
      { image_url: dataUrl(first) },
      { image_url: "https://example.com/cat.png" },
      { image_url: dataUrl(second) },
    ];
    const body = { model, prompt: "Cats", n: 2, images, mask: { image_url: dataUrl(mask) } };
    expect(readJson("images/edits", body)).toEqual({
      kind: "image",
      model,
      prompt: "Cats",
      count: 2,
      received: {
        form: "json",
        fields: { model, prompt: "Cats", n: 2 },
        files: [
          reported("images", first),
          { member: "images", url: "https://example.com/cat.png" },
          reported("images", second),
          reported("mask", mask),
        ],
      },
    });
  });

  it.each(["image", "image[]"])("report the files %s and the fields of a form", async (name) => {
    const read = await readForm("images/edits", [
      ["prompt", "Cats"],
      ["model", model],
      ["n", "2"],
      [name, png(first, "one.png")],
      ["mask", png(mask, "mask.png")],
      [name, png(second, "two.png")],
      ["tag[]", "x"],
      ["tag[]", "y"],
    ]);
    expect(read).toEqual({
      kind: "image",
      model,
      prompt: "Cats",
      count: 2,
      received: {
        form: "multipart",
        fields: { prompt: "Cats", model, n: "2", "tag[]": ["x", "y"] },
        files: [
          reported(name, first, "one.png"),
          reported("mask", mask, "mask.png"),
          reported(name, second, "two.png"),
        ],
      },
    });
  });

  const image = { image_url: dataUrl(first) };
  it.each<[object, string]>([
    [{}, "images"],
    [{ images: [] }, "images"],
    [{ images: Array.from({ length: 17 }, () => image) }, "images"],
    [{ images: [image, "no object"] }, "images[1]"],
    [{ images: [image, {}] }, "images[1]"],
    [{ images: [{ image_url: "ftp://example.com/a.png" }] }, "images[0]"],
    [{ images: [{ image_url: "data:image/png;base64,?" }] }, "images[0]"],
    [{ images: [{ image_url: "data:image/png,raw" }] }, "images[0]"],
    [{ images: [image], mask: { file_id: "file-abc" } }, "mask"],
  ])("refuse %j as JSON with 400, naming %s", (body, param) => {
    expect(readJson("images/edits", { prompt: "a", ...body })).toMatchObject({
      status: 400,
      param,
    });
  });

  it("refuse a file_id, which is not known here", () => {
    const body = { prompt: "a", images: [{ file_id: "file-abc" }] };
    expect(readJson("images/edits", body)).toMatchObject({
      status: 400,
      code: "file_not_found",
      message: expect.stringContaining("'file-abc' is not known"),
    });
  });

  const seventeen = Array.from({ length: 17 }, (): [string, File] => ["image", png(first)]);
  it.each<[string, [string, string | File][], string]>([
    ["no image", [["prompt", "a"]], "image"],
    ["no prompt", [["image", png(first)]], "prompt"],
    [
      "two models",
      [
        ["model", "a"],
        ["model", "b"],
      ],
      "model",
    ],
    [
      "an image that is a field",
      [
        ["prompt", "a"],
        ["image", "text"],
      ],
      "image",
    ],
    ["17 images", [["prompt", "a"], ...seventeen], "image"],
    [
      "two masks",
      [
        ["image", png(first)],
        ["mask", png(mask)],
        ["mask", png(mask)],
      ],
      "mask",
    ],
    [
      "another file",
      [
        ["image", png(first)],
        ["other", png(mask)],
      ],
      "other",
    ],
    [
      "no number of images",
      [
        ["prompt", "a"],
        ["n", "two"],
        ["image", png(first)],
      ],
      "n",
    ],
    [
      "a stream",
      [
        ["prompt", "a"],
        ["stream", "true"],
        ["image", png(first)],
      ],
      "stream",
    ],
  ])("refuse a form with %s with 400", async (_, entries, param) => {
    expect(await readForm("images/edits", entries)).toMatchObject({ status: 400, param });
  });
});

describe("videos", () => {
  const expected = { kind: "video", model, prompt: "A cat", seconds: "8", size: "720x1280" };

  it("come as JSON, with a reference image or without", () => {
    const body = { model, prompt: "A cat", seconds: "8" };
    expect(readJson("videos", body)).toMatchObject({ ...expected, received: { files: [] } });
    const input_reference = { image_url: dataUrl(first) };
    expect(readJson("videos", { ...body, input_reference })).toMatchObject({
      ...expected,
      received: { form: "json", fields: body, files: [reported("input_reference", first)] },
    });
    expect(readJson("videos", { ...body, input_reference: { file_id: "f" } })).toMatchObject({
      status: 400,
      param: "input_reference",
    });
  });

  it("come as a form", async () => {
    const read = await readForm("videos", [
      ["model", model],
      ["prompt", "A cat"],
      ["seconds", "8"],
      ["input_reference", png(first)],
    ]);
    const files = [reported("input_reference", first, "a.png")];
    expect(read).toMatchObject({ ...expected, received: { form: "multipart", files } });
  });
});

describe("transcriptions", () => {
  it("are told apart by their prompt, or else by their file", async () => {
    const file = png(first);
    const sha256 = hash("sha256", first);
    const plain = await readForm("audio/transcriptions", [["file", file]]);
    expect(plain).toMatchObject({ prompt: sha256, file: { sha256, size_bytes: first.length } });
    const prompted = await readForm("audio/transcriptions", [
      ["file", file],
      ["prompt", "Names: Ada"],
    ]);
    expect(prompted).toMatchObject({ prompt: "Names: Ada", file: { sha256 } });
  });

  it("take the URL of a file as JSON", () => {
    const url = "https://example.com/a.mp3";
    expect(readJson("audio/transcriptions", { model, file_url: url })).toMatchObject({
      prompt: url,
      received: { form: "json", fields: { model }, files: [{ member: "file_url", url }] },
    });
    const inline = { model, file_url: dataUrl(first) };
    expect(readJson("audio/transcriptions", inline)).toMatchObject({
      file: reported("file_url", first),
    });
  });

  it("are refused without exactly one file, or in another format than JSON", async () => {
    const none = await readForm("audio/transcriptions", [["model", model]]);
    expect(none).toMatchObject({ status: 400, param: "file" });
    const two = await readForm("audio/transcriptions", [
      ["file", png(first)],
      ["file", png(second)],
    ]);
    expect(two).toMatchObject({ status: 400, param: "file" });
    expect(readJson("audio/transcriptions", { model })).toMatchObject({ param: "file_url" });
    const text = await readForm("audio/transcriptions", [
      ["file", png(first)],
      ["response_format", "text"],
    ]);
    expect(text).toMatchObject({ status: 400, param: "response_format" });
  });
});

describe("other endpoints", () => {
  it("take no form", async () => {
    expect(await readForm("embeddings", [["input", "a"]])).toMatchObject({
      status: 400,
      message: expect.stringContaining("/v1/embeddings expects a JSON body"),
    });
  });
});
