// Endpoints beyond text, from the client's file to the simulator and back: what lines refer to arrives there
// whole, in either form, and endpoints that only the configuration admits work like any other.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { BatchCreateParams } from "openai/resources/batches";
import { describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { type InputLine, writeInputFile } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const EDITS = "/v1/images/edits";
const TRANSCRIPTIONS = "/v1/audio/transcriptions";
const ENDPOINTS = [EDITS, TRANSCRIPTIONS, "/v1/rerank", "/v1/score", "/v1/videos"];
const PNG = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), Buffer.alloc(300_000, 7)]);
const OGG = Buffer.from("OggS and some sound");

interface Line {
  custom_id: string;
  response: { body: Record<string, unknown> } | null;
  error: { code: string } | null;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** Runs lines through the server; answers what both files say, by custom_id. */
async function results(
  { openai }: ServerProcess,
  place: Workplace,
  url: string,
  bodies: Record<string, object>,
): Promise<Map<string, Line>> {
  const lines = Object.entries(bodies).map(([customId, body]): InputLine => ({
    customId,
    url,
    body: { model: "simulated-model", ...body },
  }));
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  const endpoint = url as BatchCreateParams["endpoint"];
  const { id } = await createBatch(openai, await upload(openai, path), { endpoint });
  const batch = await batchEnd(openai, id);
  expect(batch.errors ?? null).toBeNull();
  const found = new Map<string, Line>();
  for (const fileId of [batch.output_file_id, batch.error_file_id]) {
    if (!fileId) continue;
    const text = await (await openai.files.content(fileId)).text();
    for (const line of text.trimEnd().split("\n")) {
      const result = JSON.parse(line) as Line;
      found.set(result.custom_id, result);
    }
  }
  return found;
}

function filesOf(line: Line | undefined): unknown[] {
  const received = line?.response?.body["received"] as { form: string; files: unknown[] };
  return [received.form, ...received.files];
}

describe.each(["multipart", "json"])("with attachments as %s", (attachments) => {
  it("files arrive whole, and a missing one fails its line alone", async () => {
    using place = openWorkplace();
    await using simulator = new Simulator();
    const { baseUrl } = await simulator.start();
    const images = createServer((_request, response) => response.end(PNG)).listen(0, "127.0.0.1");
    await once(images, "listening");
    await using server = await ServerProcess.start({
      folder: place.path("."),
      config: {
        upstreams: [upstream(baseUrl, { endpoints: ENDPOINTS, attachments })],
        allow_private_addresses: true,
      },
    });
    try {
      const { openai } = server;
      const stored = async (bytes: Buffer, name: string, purpose: "vision" | "user_data") =>
        (await openai.files.create({ file: new File([new Uint8Array(bytes)], name), purpose })).id;
      const picture = await stored(PNG, "cat.png", "vision");
      const sound = await stored(OGG, "talk.ogg", "user_data");
      const imageUrl = `http://127.0.0.1:${(images.address() as AddressInfo).port}/dog.png`;
      const edits = await results(server, place, EDITS, {
        good: { prompt: "a", images: [{ file_id: picture }], mask: { file_id: picture } },
        two: { prompt: "b", images: [{ file_id: picture }, { image_url: imageUrl }], n: 2 },
        missing: { prompt: "c", images: [{ file_id: "file-none" }] },
      });
      const about = { sha256: sha256(PNG), size_bytes: PNG.length, content_type: "image/png" };
      expect(filesOf(edits.get("good"))).toMatchObject([attachments, about, about]);
      const fetched = attachments === "multipart" ? about : { url: imageUrl };
      expect(filesOf(edits.get("two"))).toMatchObject([attachments, about, fetched]);
      expect(edits.get("two")?.response?.body["data"]).toHaveLength(2);
      expect(edits.get("missing")?.error?.code).toBe("invalid_file");

      const transcripts = await results(server, place, TRANSCRIPTIONS, {
        good: { file: { file_id: sound } },
      });
      const heard = { sha256: sha256(OGG), content_type: "audio/ogg" };
      expect(filesOf(transcripts.get("good"))).toMatchObject([attachments, heard]);
    } finally {
      images.close();
      images.closeAllConnections();
    }
  });
});

describe("endpoints of the configuration", () => {
  it("take batches like the others", async () => {
    using place = openWorkplace();
    await using simulator = new Simulator();
    const { baseUrl } = await simulator.start();
    await using server = await ServerProcess.start({
      folder: place.path("."),
      config: { upstreams: [upstream(baseUrl, { endpoints: ENDPOINTS })] },
    });
    const ranked = await results(server, place, "/v1/rerank", {
      one: { query: "cats", documents: ["dogs", "cats"] },
    });
    expect(ranked.get("one")?.response?.body["results"]).toMatchObject([
      { index: 1 },
      { index: 0 },
    ]);
    const scored = await results(server, place, "/v1/score", {
      one: { text_1: "cats", text_2: "cats" },
    });
    expect(scored.get("one")?.response?.body["data"]).toMatchObject([{ score: 1 }]);
  });
});
