// Answers of megabytes, as images in base64 are: far more of them at once than the memory they may take.
// Every line is there in the end, and the server stays small.
import { describe, expect, it } from "vitest";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { answer, ScriptedBackend } from "../support/scripted-backend.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";

const MB = 1_000_000;
const LINES = 150;
const IN_FLIGHT = 64;
/** Of the smallest and the largest answer; the bytes in flight are about 64 × 6 MB. */
const ANSWER_BYTES = { least: 4 * MB, most: 8 * MB };
/** 438 to 483 MB were measured, and 646 MB with nothing to bound what is read. */
const MOST_RESIDENT_BYTES = 600 * MB;

const sizeOf = (index: number) =>
  ANSWER_BYTES.least +
  Math.round(((ANSWER_BYTES.most - ANSWER_BYTES.least) * ((index * 37) % LINES)) / LINES);

describe("answers of 4 to 8 MB, 64 at a time", () => {
  it("are all recorded once, in little memory", async () => {
    using place = openWorkplace();
    const pixels = "A".repeat(ANSWER_BYTES.most);
    const sent: number[] = [];
    await using backend = await ScriptedBackend.start({
      onPost: ({ body, response }) => {
        const index = Number((JSON.parse(body) as { prompt: string }).prompt);
        sent.push(index);
        const data = [{ b64_json: pixels.slice(0, sizeOf(index)) }];
        const usage = { input_tokens: 1, output_tokens: 2, total_tokens: 3 };
        answer(response, 200, JSON.stringify({ created: 1, prompt: `${index}`, data, usage }));
      },
    });
    const lines = Array.from({ length: LINES }, (_, index) => ({
      customId: `image-${index}`,
      url: "/v1/images/generations",
      body: { model: "m", prompt: `${index}` },
    }));
    const path = await writeInputFile(place.path("input.jsonl"), lines);
    const config = {
      upstreams: [
        upstream(backend.baseUrl, {
          endpoints: ["/v1/images/generations"],
          limits: { concurrency: IN_FLIGHT },
        }),
      ],
    };
    await using server = await ServerProcess.start({ folder: place.path("."), config });
    const fileId = await upload(server.openai, path);
    const endpoint = "/v1/images/generations";
    const { id } = await createBatch(server.openai, fileId, { endpoint });
    const batch = await batchEnd(server.openai, id);
    const residentBytes = await server.peakResidentBytes();
    console.info(`peak resident memory ${Math.round(residentBytes / MB)} MB`);

    const customIds = lines.map(({ customId }) => customId);
    const judgement = await judge(server.openai, batch, customIds);
    expect(judgement.problems).toEqual([]);
    expect(judgement.output).toBe(LINES);
    expect(sent.toSorted((a, b) => a - b)).toEqual(lines.map((_, index) => index));
    expect(residentBytes).toBeLessThan(MOST_RESIDENT_BYTES);
  });
});
