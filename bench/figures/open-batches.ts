// Whether a line costs more when many batches are open. All are planned before the backend answers anything; then the
// server's processor time is taken over a window of answers in which no batch ends, so that dispatch alone is compared.
// What a batch costs by itself is measured apart, from the first answer to the last batch completed.

import { until } from "../../test/support/until.ts";
import { Backend } from "../backend.ts";
import { type BenchRun, defineGroup } from "../bench-run.ts";
import { inputFile } from "../input-file.ts";
import { processorMs } from "../processes.ts";
import { Server } from "../server.ts";

const MANY = 1_000;
const LINES = 50_000;
/** One more than a shard has: every batch has its turn for the first shard before one gets its second, and ends. */
const LINES_OF_MANY = 1_001;
const LINES_OF_SMALL = 50;
const WINDOW = { from: 10_000, until: 45_000 };

interface Open {
  server: Server;
  backend: Backend;
}

/** Opens batches of so many lines each, lets the backend answer, and hands over to the measurement. */
async function withOpen<T>(
  run: BenchRun,
  { batches, lines }: { batches: number; lines: number },
  measure: (open: Open) => Promise<T>,
): Promise<T> {
  const file = await inputFile(run.directory, { lines, lineBytes: 400 });
  await using backend = await Backend.start();
  await using server = await Server.start(run, { backendUrl: backend.baseUrl });
  const fileId = await server.uploadFile(file);
  await backend.tell({ answerOnly: 0 });
  for (let count = 0; count < batches; count++) await server.createBatch(fileId);
  await server.untilBatches("in_progress", batches);
  await backend.tell({ answerOnly: null });
  return await measure({ server, backend });
}

/** Microseconds per line in the window. */
async function windowMicroseconds({ server, backend }: Open): Promise<number> {
  const reach = (wanted: number) =>
    until(`${wanted} answers`, async () => {
      const { posts } = await backend.tell({});
      return posts >= wanted && { posts, ms: processorMs(server.pid) };
    });
  const start = await reach(WINDOW.from);
  const end = await reach(WINDOW.until);
  return (1000 * (end.ms - start.ms)) / (end.posts - start.posts);
}

/** Milliseconds of processor time from here until so many batches are completed. */
async function completionMs({ server }: Open, batches: number): Promise<number> {
  const before = processorMs(server.pid);
  await server.untilBatches("completed", batches);
  return processorMs(server.pid) - before;
}

export const openBatches = defineGroup({
  name: "open-batches",
  about: `1,000 open batches of 1,001 lines against one of 50,000; no latency, 64 in flight; over the answers from the 10,000th to the 45,000th; small batches have ${LINES_OF_SMALL} lines`,
  mostRounds: 2,
  figures: {
    ratio: {
      name: "processor time per line with 1,000 open batches ÷ with one",
      unit: "×",
      target: { must: 1.2, wish: 1.05, better: "lower" },
    },
    many: { name: "per line with 1,000 open batches", unit: "µs" },
    one: { name: "per line with one", unit: "µs" },
    small: { name: "1,000 small batches, planned → completed, per batch", unit: "ms" },
  },
  async measure(run) {
    const one = await withOpen(run, { batches: 1, lines: LINES }, windowMicroseconds);
    const many = await withOpen(run, { batches: MANY, lines: LINES_OF_MANY }, windowMicroseconds);
    const smallMs = await withOpen(run, { batches: MANY, lines: LINES_OF_SMALL }, (open) =>
      completionMs(open, MANY),
    );
    return { ratio: many / one, many, one, small: smallMs / MANY };
  },
});
