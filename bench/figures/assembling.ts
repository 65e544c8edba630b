// Assembling 50,000 answers of 4,000 bytes into the output file, against `cp` of that file with fsync.

import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { memoryMb } from "../processes.ts";
import { copyMs } from "../references.ts";
import { Server } from "../server.ts";

export const assembling = defineGroup({
  name: "assembling",
  about: "50,000 results of 4,000 bytes: from the last line recorded to completed",
  figures: {
    ratio: {
      name: "assembling ÷ `cp` with fsync",
      unit: "×",
      target: { must: 3, wish: 2, better: "lower" },
    },
    assembling: { name: "assembling", unit: "ms" },
    copy: { name: "`cp` with fsync", unit: "ms" },
    peak: { name: "peak resident memory", unit: "MB" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: 50_000, lineBytes: 400 });
    await using backend = await Backend.start({ answerBytes: 4_000 });
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });
    const { assemblingMs } = await server.runBatch(await server.uploadFile(file));
    const copy = await copyMs(await largestFile(path.join(server.dataDir, "blobs")));
    return {
      ratio: assemblingMs / copy,
      assembling: assemblingMs,
      copy,
      peak: memoryMb(server.pid, "VmHWM"),
    };
  },
});

/** The output is by far the largest: the journals hold a fiftieth of it each. */
async function largestFile(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true });
  const paths = names.map((name) => path.join(folder, name));
  const sizes = await Promise.all(paths.map(async (file) => (await stat(file)).size));
  return paths[sizes.indexOf(Math.max(...sizes))] ?? "";
}
