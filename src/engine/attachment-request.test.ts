// Lines that refer to files, as an upstream gets them: as forms or as JSON, against a scripted backend.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type EngineStage, openEngineStage } from "../../test/support/engine-stage.ts";
import { readForm } from "../../test/support/read-form.ts";
import { resultLines } from "../../test/support/result-lines.ts";
import {
  fakeTimers,
  type RunningEngineOptions,
  startEngine,
} from "../../test/support/running-engine.ts";
import { answer, type Received, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import { type Batch, terminalStatuses } from "../core/batch.ts";
import type { StoredFile } from "../core/file.ts";
import { type FetchRemote, RemoteFileRefusedError } from "../core/remote-file.ts";
import { ATTACHED_BYTES_MAX } from "./attached-files.ts";

const PNG = "\x89PNG\r\n\x1a\n--not really--";
const EDITS = "/v1/images/edits";
const VIDEOS = "/v1/videos";

let stage: EngineStage;
let cleanup: AsyncDisposableStack;
let backend: ScriptedBackend;

beforeEach(async () => {
  fakeTimers();
  stage = await openEngineStage();
  cleanup = new AsyncDisposableStack();
  cleanup.use(stage);
  backend = await ScriptedBackend.start({
    onPost: ({ response }) => answer(response, 200, '{"created":1}'),
  });
  cleanup.use(backend);
});

afterEach(async () => {
  await cleanup.disposeAsync();
  vi.useRealTimers();
});

const stored = (content: string, change: Partial<StoredFile> = {}) =>
  stage.storeFile(content, { purpose: "vision", filename: "cat.png", ...change });

/** Runs a batch of these bodies; answers what its files say. The custom_ids are 0, 1, … */
async function run(
  endpoint: string,
  bodies: readonly object[],
  options: Partial<RunningEngineOptions> = {},
) {
  const lines = bodies.map((body, n) =>
    JSON.stringify({
      custom_id: `${n}`,
      method: "POST",
      url: endpoint,
      body: { model: "simulated-model", prompt: "p", ...body },
    }),
  );
  const id = await stage.planBatch(lines, { endpoint });
  const batchOf = async (): Promise<Batch> => (await stage.store.batches.get("default", id))!;
  await using engine = await startEngine(stage, { baseUrl: backend.baseUrl, ...options });
  await engine.runUntil(async () => {
    await engine.assembler.tick(new AbortController().signal);
    return terminalStatuses.includes((await batchOf()).status);
  });
  return await resultLines(stage, await batchOf());
}

/** The form of a request: names with texts, or with name, type and content of a file. */
function formOf({ bytes, request }: Received): [string, unknown][] {
  return readForm(request.headers["content-type"]!, bytes).map(([name, value]) => [
    name,
    typeof value === "string"
      ? value
      : [value.filename, value.mediaType, value.bytes.toString("latin1")],
  ]);
}

const png = Buffer.from(PNG, "latin1").toString("base64");
const pngUrl = `data:image/png;base64,${png}`;

describe("as a form", () => {
  test("every member is a field as it was written, and files are parts", async () => {
    const fileId = await stored("GIF89a", { purpose: "user_data", filename: 'a"\r\nb.gif' });
    const mask = { image_url: pngUrl };
    const images = [{ file_id: fileId }, { image_url: pngUrl }];
    const body = {
      n: 2,
      size: "1024x1024",
      user: null,
      x: { y: 1.5 },
      list: ["a", 1],
      images,
      mask,
    };
    const { output } = await run(EDITS, [body]);
    expect(output).toHaveLength(1);
    expect(formOf(backend.received[0]!)).toEqual([
      ["model", "simulated-model"],
      ["prompt", "p"],
      ["n", "2"],
      ["size", "1024x1024"],
      ["x", '{"y":1.5}'],
      ["list[]", "a"],
      ["list[]", "1"],
      ["image[]", ["a%22%0D%0Ab.gif", "image/gif", "GIF89a"]],
      ["image[]", ["image.png", "image/png", PNG]],
      ["mask", ["mask.png", "image/png", PNG]],
    ]);
  });

  test("a single image is the part `image`, with the model's real name beside it", async () => {
    await run(EDITS, [{ images: [{ image_url: pngUrl }] }]);
    const form = formOf(backend.received[0]!);
    expect(form.map(([name]) => name)).toEqual(["model", "prompt", "image"]);
  });

  test("a video without a reference stays JSON, byte by byte; one with it is a form", async () => {
    const bodies = [{ seconds: 4.0 }, { input_reference: { image_url: pngUrl } }];
    await run(VIDEOS, bodies, { concurrency: 1 });
    const [plain, form] = backend.received;
    expect(plain!.request.headers["content-type"]).toBe("application/json");
    expect(plain!.body).toBe('{"model":"simulated-model","prompt":"p","seconds":4}');
    expect(formOf(form!).at(-1)).toEqual([
      "input_reference",
      ["input_reference.png", "image/png", PNG],
    ]);
  });

  test("a URL is fetched, and named as its path ends", async () => {
    const asked: unknown[] = [];
    const fetchRemote: FetchRemote = (url, { maxBytes }) => {
      asked.push([url, maxBytes]);
      return Promise.resolve({ bytes: Buffer.from("?"), contentType: "image/tiff; q=1" });
    };
    await run(EDITS, [{ images: [{ image_url: "https://a.example/x/dog?k=1" }] }], { fetchRemote });
    expect(asked).toEqual([["https://a.example/x/dog?k=1", ATTACHED_BYTES_MAX]]);
    expect(formOf(backend.received[0]!).at(-1)).toEqual(["image", ["dog", "image/tiff", "?"]]);
  });
});

describe("as JSON", () => {
  test("uploaded files become data URLs in their place; nothing else changes", async () => {
    const fileId = await stored("GIF89a");
    const images = [{ image_url: "https://a.example/x" }, { file_id: fileId, detail: "low" }];
    const mask = { file_id: fileId };
    await run(EDITS, [{ images, n: 1, mask }], { attachments: "json" });
    const [{ body, request }] = backend.received as [Received];
    const url = `data:image/gif;base64,${Buffer.from("GIF89a").toString("base64")}`;
    expect(request.headers["content-type"]).toBe("application/json");
    expect(body).toBe(
      JSON.stringify({
        model: "simulated-model",
        prompt: "p",
        images: [{ image_url: "https://a.example/x" }, { detail: "low", image_url: url }],
        n: 1,
        mask: { image_url: url },
      }),
    );
  });

  test("without uploaded files the body is sent as it is, and no URL is fetched", async () => {
    const images = [{ image_url: "https://a.example/x" }, { image_url: pngUrl }];
    const { output } = await run(EDITS, [{ images }], { attachments: "json" });
    expect(output).toHaveLength(1);
    expect(backend.received[0]!.body).toBe(
      JSON.stringify({ model: "simulated-model", prompt: "p", images }),
    );
  });

  test("a recording to transcribe is named by URL, in the member that backends know", async () => {
    const fileId = await stage.storeFile("OggS", { purpose: "user_data" });
    const files = [{ file_id: fileId }, { url: "https://a.example/x.wav" }];
    await run(
      "/v1/audio/transcriptions",
      files.map((file) => ({ file, language: "de" })),
      {
        attachments: "json",
        concurrency: 1,
      },
    );
    const url = `data:audio/ogg;base64,${Buffer.from("OggS").toString("base64")}`;
    expect(backend.received.map(({ body }) => body)).toEqual(
      [url, "https://a.example/x.wav"].map((file_url) =>
        JSON.stringify({ model: "simulated-model", prompt: "p", file_url, language: "de" }),
      ),
    );
  });
});

describe("a file that can't be had fails its line, and no other", () => {
  test.each(["multipart", "json"] as const)("as %s", async (attachments) => {
    const ids = {
      good: await stored(PNG),
      deleted: await stored(PNG),
      batch: await stored(PNG, { purpose: "batch" }),
      foreign: await stored(PNG, { projectId: "other" }),
      large: await stored(PNG, { sizeBytes: ATTACHED_BYTES_MAX + 1 }),
    };
    await stage.store.files.delete("default", ids.deleted, stage.clock.now());
    const wanted = [ids.good, ids.deleted, ids.batch, ids.foreign, ids.large, "file-none"];
    const bodies = wanted.map((file_id) => ({ images: [{ file_id }] }));
    const { output, errors } = await run(EDITS, bodies, { attachments });
    expect(output.map(({ custom_id }) => custom_id)).toEqual(["0"]);
    const at = "at body.images[0]";
    const gone = "does not exist, or has been deleted.";
    expect(errors.map(({ custom_id, error }) => [custom_id, error])).toEqual(
      [
        `The file '${ids.deleted}' ${at} ${gone}`,
        `The file '${ids.batch}' ${at} has the purpose 'batch'. Expected 'vision' or 'user_data'.`,
        `The file '${ids.foreign}' ${at} ${gone}`,
        "The files of this request have more than the 52428800 bytes allowed together.",
        `The file 'file-none' ${at} ${gone}`,
      ].map((message, n) => [`${n + 1}`, { code: "invalid_file", message }]),
    );
    expect(backend.received).toHaveLength(1);
  });

  test("whose bytes are gone, or can't be read: then it is tried again, and the log says why", async () => {
    const [gone, broken] = [await stored(PNG), await stored(PNG)];
    const [goneFile, brokenFile] = [
      (await stage.store.files.getRetained(gone))!,
      (await stage.store.files.getRetained(broken))!,
    ];
    await stage.blobs.delete(goneFile.blobKey);
    const blobs = new Proxy(stage.blobs, {
      get: (target, asked) => {
        if (asked !== "open") return (Reflect.get(target, asked) as () => unknown).bind(target);
        return (key: string) =>
          key === brokenFile.blobKey
            ? Promise.reject(new Error("EIO: /srv/disk"))
            : target.open(key);
      },
    });
    const bodies = [gone, broken].map((file_id) => ({ images: [{ file_id }] }));
    const { errors } = await run(EDITS, bodies, { blobs });
    expect(errors.map(({ error }) => error)).toEqual([
      { code: "invalid_file", message: `The file '${gone}' at body.images[0] has been deleted.` },
      {
        code: "invalid_file",
        message: "A file of this request could not be read. The server's log says why.",
      },
    ]);
    const logged = stage.logged().filter(({ msg }) => String(msg).startsWith("a file that a line"));
    expect(logged).toHaveLength(3);
    expect(logged[0]).toMatchObject({ line: 2 });
  });

  test("whose address is refused: at once, and with its host named", async () => {
    const fetchRemote = vi.fn<FetchRemote>(() =>
      Promise.reject(new RemoteFileRefusedError("it is not a public address")),
    );
    const images = [{ image_url: "https://inside.example/secret?token=1" }];
    const { errors } = await run(EDITS, [{ images }], { fetchRemote });
    const message = "The file at inside.example can't be fetched: it is not a public address";
    expect(errors.map(({ error }) => error)).toEqual([{ code: "invalid_file_url", message }]);
    expect(fetchRemote).toHaveBeenCalledOnce();
  });

  test("that can't be fetched: tried as often as a line is, and it may come right", async () => {
    let asked = 0;
    const fetchRemote: FetchRemote = (url) =>
      ++asked < 3 || url.endsWith("never")
        ? Promise.reject(new Error("connection reset"))
        : Promise.resolve({ bytes: Buffer.from(PNG, "latin1"), contentType: null });
    const of = (path: string) => ({ images: [{ image_url: `https://a.example/${path}` }] });
    const { output, errors } = await run(EDITS, [of("later"), of("never")], {
      fetchRemote,
      concurrency: 1,
      maxAttempts: 3,
    });
    expect(output.map(({ custom_id }) => custom_id)).toEqual(["0"]);
    expect(errors).toMatchObject([{ custom_id: "1", error: { code: "invalid_file_url" } }]);
  });
});

test("an abort ends the making of a request at once", async () => {
  let signalled: AbortSignal | undefined;
  const fetchRemote: FetchRemote = (_url, { signal }) => {
    signalled = signal;
    return new Promise(() => {});
  };
  const line = JSON.stringify({
    custom_id: "a",
    method: "POST",
    url: EDITS,
    body: { model: "simulated-model", prompt: "p", images: [{ image_url: "https://a.example/" }] },
  });
  const id = await stage.planBatch([line], { endpoint: EDITS });
  await using engine = await startEngine(stage, {
    baseUrl: backend.baseUrl,
    fetchRemote,
    cancelGraceMs: 0,
  });
  await engine.runUntil(() => signalled !== undefined);
  await engine.runner.stop("shutdown");
  expect(signalled?.aborted).toBe(true);
  expect(engine.lanes.lanesFor(EDITS, "simulated-model")[0]!.inFlight).toBe(0);
  expect((await stage.store.batches.get("default", id))!.status).toBe("in_progress");
});
