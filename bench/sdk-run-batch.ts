// What a user would write in TypeScript: the official SDK under p-limit, all results kept, then written.
// Arguments: base URL, input, output, requests in flight. Prints the milliseconds that the calls took.

import { readFile, writeFile } from "node:fs/promises";
import OpenAI from "openai";
import pLimit from "p-limit";

interface Line {
  custom_id: string;
  body: OpenAI.ChatCompletionCreateParamsNonStreaming;
}

const [baseURL = "", input = "", output = "", inFlight = "64"] = process.argv.slice(2);
const text = await readFile(input, "utf8");
const lines = text
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Line);
const client = new OpenAI({ baseURL, apiKey: "bench" });
const limit = pLimit(Number(inFlight));

const startedMs = performance.now();
const results = await limit.map(lines, async ({ custom_id, body }) => ({
  custom_id,
  body: await client.chat.completions.create(body),
}));
const tookMs = performance.now() - startedMs;
await writeFile(output, results.map((result) => `${JSON.stringify(result)}\n`).join(""));
console.log(tookMs);
