// What a user would write without Offpeak, timed over its calls alone: nothing it has is durable before the end.

import path from "node:path";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { PYTHON, aiohttpVersion } from "../machine.ts";
import { nodeCommand, outputOf } from "../processes.ts";
import { Server } from "../server.ts";

const LINE_BYTES = 4_000;
const LINES = 50_000;
/** They are slower, and their rate does not change with the number of lines. */
const THEIR_LINES = 10_000;
const IN_FLIGHT = 64;

export const alternatives = defineGroup({
  name: "alternatives",
  about: `no latency, ${IN_FLIGHT} in flight, lines of 4,000 bytes; the first batch of a new server (50,000 lines) against scripts that run once (10,000 lines)`,
  figures: {
    aiohttp: {
      name: "durable lines/s ÷ aiohttp loop of vLLM run-batch's shape",
      unit: "×",
      target: { must: 6, wish: 8, better: "higher" },
    },
    sdk: {
      name: "durable lines/s ÷ official SDK with p-limit",
      unit: "×",
      target: { must: 10, wish: 15, better: "higher" },
    },
    aiohttpPerSecond: { name: "aiohttp loop", unit: "lines/s" },
    sdkPerSecond: { name: "official SDK with p-limit", unit: "lines/s" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: LINES, lineBytes: LINE_BYTES });
    const theirs = await inputFile(run.directory, { lines: THEIR_LINES, lineBytes: LINE_BYTES });
    const output = path.join(run.directory, "output.jsonl");
    await using backend = await Backend.start();
    const args = [backend.baseUrl, theirs, output, String(IN_FLIGHT)];
    const linesPerSecond = async (command: readonly string[]) =>
      (1000 * THEIR_LINES) / Number(await outputOf(command));

    const script = path.join(import.meta.dirname, "../aiohttp-run-batch.py");
    const hasAiohttp = (await aiohttpVersion()) !== null;
    if (!hasAiohttp) {
      run.progress(
        `not measured: ${PYTHON} has no aiohttp; on Debian: apt-get install python3-aiohttp`,
      );
    }
    const aiohttp = hasAiohttp ? await linesPerSecond([PYTHON, script, ...args]) : Number.NaN;
    const sdk = await linesPerSecond(nodeCommand("sdk-run-batch.ts", args));
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const { runningMs } = await server.runBatch(await server.uploadFile(file));
    const ours = (1000 * LINES) / runningMs;
    return {
      aiohttp: ours / aiohttp,
      sdk: ours / sdk,
      aiohttpPerSecond: aiohttp,
      sdkPerSecond: sdk,
    };
  },
});
