import { hash } from "node:crypto";
import OpenAI, { toFile } from "openai";
import { afterEach, describe, expect, it } from "vitest";
import type { SimulatorOptions } from "./options.ts";
import { Simulator } from "./simulator.ts";

const quick = { interval: 5, timeout: 10_000 };
const model = "simulated-model";
const bytes = Buffer.alloc(300_000, "an image of some size ");
const sha256 = hash("sha256", bytes);
let simulator: Simulator;
let client: OpenAI;
afterEach(() => simulator.stop());

async function start(options: SimulatorOptions = {}): Promise<void> {
  simulator = new Simulator(options);
  const { baseUrl } = await simulator.start();
  client = new OpenAI({ baseURL: baseUrl, apiKey: options.apiKey ?? "any", maxRetries: 0 });
}

interface Video {
  id: string;
  status: string;
}

/** The SDK's own methods for videos are deprecated. */
function createVideo(body: object): Promise<Video> {
  return client.post<Video>("/videos", { body });
}

function retrieveVideo(id: string, apiKey = client.apiKey): Promise<Video> {
  return client.withOptions({ apiKey }).get<Video>(`/videos/${id}`);
}

describe("images", () => {
  it("are made in the number and the size asked for", async () => {
    await start({ imageBytes: 3_000_000, outputTokens: 9 });
    const answer = await client.images.generate({ model, prompt: "Two cats", n: 2 });
    expect(answer.created).toBeGreaterThan(0);
    expect(answer.usage).toEqual({
      input_tokens: 2,
      input_tokens_details: { text_tokens: 2, image_tokens: 0 },
      output_tokens: 18,
      total_tokens: 20,
    });
    const images = answer.data!.map((image) => Buffer.from(image.b64_json!, "base64"));
    expect(images.map((image) => image.length)).toEqual([3_000_000, 3_000_000]);
    expect(images[0]!.toString("latin1", 1, 4)).toBe("PNG");
    expect(images[0]!.equals(images[1]!)).toBe(false);
    const again = await client.images.generate({ model, prompt: "Two cats" });
    expect(again.data![0]!.b64_json).toBe(answer.data![0]!.b64_json);
  });

  it("are edited from a form, as the SDK sends it", async () => {
    await start();
    const answer = await client.images.edit({
      model,
      prompt: "Add a hat",
      image: [await toFile(bytes, "a.png", { type: "image/png" })],
      mask: await toFile(Buffer.from("mask"), "m.png", { type: "image/png" }),
    });
    expect(answer).toMatchObject({
      usage: { input_tokens_details: { image_tokens: 170 } },
      received: {
        form: "multipart",
        fields: { model, prompt: "Add a hat" },
        // The SDK sends them in the order in which it has read them.
        files: expect.arrayContaining([
          expect.objectContaining({ member: "image[]", sha256, file_name: "a.png" }),
          expect.objectContaining({ member: "mask", sha256: hash("sha256", "mask") }),
        ]),
      },
    });
    expect(simulator.timesSent("Add a hat")).toBe(1);
  });

  it("are edited from JSON", async () => {
    await start();
    const images = [{ image_url: `data:image/png;base64,${bytes.toString("base64")}` }];
    const answer = await client.post("/images/edits", { body: { model, prompt: "Hat", images } });
    expect(answer).toMatchObject({
      data: [{ b64_json: expect.any(String) }],
      received: { form: "json", files: [{ member: "images", sha256 }] },
    });
  });

  it("are refused, fail and hang as texts do", async () => {
    await start({ apiKey: "secret", models: ["painter"] });
    const make = (prompt: string, key = "secret", name = "painter") =>
      client.withOptions({ apiKey: key }).images.generate({ model: name, prompt });
    await expect(make("a", "wrong")).rejects.toMatchObject({ status: 401 });
    await expect(make("a", "secret", "other")).rejects.toMatchObject({ status: 404 });
    await expect(make("[simulate: 503 x1]")).rejects.toMatchObject({ status: 503 });
    expect(await make("[simulate: 503 x1]")).toHaveProperty("data");
    await expect(make("[simulate: cut]")).rejects.toThrow("terminated");
    await expect(make("[simulate: failed]")).rejects.toMatchObject({ status: 400 });
    await simulator.setMode("429");
    await expect(make("a")).rejects.toMatchObject({ status: 429 });
    await expect.poll(() => simulator.stats().inFlight, quick).toBe(0);
    expect(simulator.stats()).toMatchObject({
      requests: 7,
      byStatus: { 200: 1, 400: 1, 401: 1, 404: 1, 429: 1, 503: 1 },
      unanswered: 1,
    });
  });

  it("are refused with 400 where the form is malformed", async () => {
    await start();
    const headers = { "content-type": "multipart/form-data; boundary=b" };
    for (const body of ["", "--b", "--b\r\n\r\n--b--", "--c--", "--b\r\n"]) {
      const url = `${simulator.baseUrl}/images/edits`;
      const answer = await fetch(url, { method: "POST", headers, body });
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ error: { code: "invalid_form" } });
    }
  });
});

describe("videos", () => {
  it("are jobs, to be asked for until they are completed", async () => {
    await start({ timeToVideoMs: 60 });
    const created = await createVideo({ prompt: "A cat", seconds: "8" });
    expect(created).toMatchObject({ status: "queued", progress: 0, seconds: "8", model });
    await expect
      .poll(async () => (await retrieveVideo(created.id)).status, quick)
      .toBe("completed");
    expect(simulator.stats()).toMatchObject({ requests: 1, byStatus: { 200: 1 } });
    expect(simulator.timesSent("A cat")).toBe(1);
  });

  it("fail where their prompt says so, as often as it says", async () => {
    await start();
    const prompt = "[simulate: failed x1]";
    const statusOfOne = async () => {
      const { id } = await createVideo({ prompt });
      return (await retrieveVideo(id)).status;
    };
    expect([await statusOfOne(), await statusOfOne()]).toEqual(["failed", "completed"]);
    expect(simulator.timesSent(prompt)).toBe(2);
  });

  it("outlive outages and resets", async () => {
    await start();
    const { id } = await createVideo({ prompt: "A cat" });
    await simulator.setMode("503");
    await expect(retrieveVideo(id)).rejects.toMatchObject({ status: 503 });
    await simulator.setMode("ok");
    simulator.reset();
    expect(await retrieveVideo(id)).toMatchObject({ id, status: "completed" });
  });

  it("are unknown by another id, and hidden from a wrong key", async () => {
    await start({ apiKey: "secret" });
    const { id } = await createVideo({ prompt: "A cat" });
    await expect(retrieveVideo("video_other")).rejects.toMatchObject({
      status: 404,
      code: "video_not_found",
      type: "invalid_request_error",
    });
    await expect(retrieveVideo(id, "wrong")).rejects.toMatchObject({ status: 401 });
  });
});

describe("transcriptions", () => {
  it("say which bytes arrived", async () => {
    await start({ outputTokens: 9 });
    const file = await toFile(bytes, "speech.wav", { type: "audio/wav" });
    const answer = await client.audio.transcriptions.create({ model, file });
    expect(answer.text).toBe(`Simulated transcription of 300000 bytes with SHA-256 ${sha256}`);
    expect(answer.usage).toMatchObject({ type: "tokens", output_tokens: 9 });
    expect(answer).toMatchObject({
      received: { form: "multipart", files: [{ file_name: "speech.wav", sha256 }] },
    });
  });

  it("say which URL they were given", async () => {
    await start();
    const body = { model, file_url: "https://example.com/a.mp3" };
    expect(await client.post("/audio/transcriptions", { body })).toMatchObject({
      text: "Simulated transcription of https://example.com/a.mp3",
    });
  });
});
