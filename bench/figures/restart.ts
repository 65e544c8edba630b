// A server killed with 100 batches half done, started again: how soon it sends its first line, for each 100 MB of
// journals that it finds.

import { mkdtemp, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { until } from "../../test/support/until.ts";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { Server } from "../server.ts";

const BATCHES = 100;
const LINES = 250;
/** So many that all batches run at once. */
const IN_FLIGHT = 5_000;
const ANSWER_BYTES = 8_000;
const JOURNAL_UNIT_BYTES = 100_000_000;
/** A record is larger than its answer. */
const RECORDED_BYTES = (BATCHES * LINES * ANSWER_BYTES) / 2;

export const restart = defineGroup({
  name: "restart",
  about: `killed with ${BATCHES} batches of ${LINES} lines half done, answers of 8,000 bytes, 5,000 in flight; from the start of the process`,
  figures: {
    firstLine: {
      name: "restart until the first line is sent, per 100 MB of journals",
      unit: "ms",
      target: { must: 1_000, wish: 400, better: "lower" },
    },
    listening: { name: "start on an empty directory until it listens", unit: "ms" },
    journals: { name: "journals", unit: "MB" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, { lines: LINES, lineBytes: 400 });
    const dataDir = await mkdtemp(path.join(run.directory, "data-"));
    await using backend = await Backend.start({ answerBytes: ANSWER_BYTES });
    const options = { backendUrl: backend.baseUrl, concurrency: IN_FLIGHT, dataDir };

    const startedMs = performance.now();
    let listening = Number.NaN;
    {
      await using server = await Server.start(run, options);
      listening = performance.now() - startedMs;
      const fileId = await server.uploadFile(file);
      await backend.tell({ answerOnly: 0 });
      for (let count = 0; count < BATCHES; count++) await server.createBatch(fileId);
      await server.untilBatches("in_progress", BATCHES);
      await backend.tell({ answerOnly: (BATCHES * LINES) / 2 });
      const isHalfDone = async () => (await journalBytes(dataDir)) >= RECORDED_BYTES;
      await until("half of the lines to be recorded", isHalfDone);
    }
    const found = await journalBytes(dataDir);
    await backend.tell({ reset: true, answerOnly: null });

    const restartedAtMs = Date.now();
    await using _server = await Server.start(run, options);
    const sentAtMs = await until("a first line", async () => {
      const { posts, firstPostAtMs } = await backend.tell({});
      return posts > 0 && firstPostAtMs;
    });
    return {
      firstLine: (sentAtMs - restartedAtMs) / (found / JOURNAL_UNIT_BYTES),
      listening,
      journals: found / 1_000_000,
    };
  },
});

async function journalBytes(dataDir: string): Promise<number> {
  const files = await readdir(dataDir, { recursive: true });
  const journals = files.filter((file) => path.basename(path.dirname(file)) === "journals");
  const sizes = await Promise.all(
    journals.map(async (file) => (await stat(path.join(dataDir, file))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
