// A journal that the disk has changed after it was durable: the batch stops and says so, nothing is
// decided from what is left of it, and with the right bytes back in place the batch goes on.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { blobKeys } from "../../src/core/blob-store.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import {
  batchEnd,
  batchThat,
  createBatch,
  upload,
  waitingReason,
} from "../support/batch-driver.ts";
import { chatLines, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { filesBelow } from "../support/killed-data.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { openWorkplace } from "../support/workplace.ts";

const LINES = 400;

describe("a damaged journal", () => {
  it("stops its batch, and no other, until it is mended", async () => {
    using place = openWorkplace();
    await using simulator = new Simulator({ timeToFirstTokenMs: 50 });
    const { baseUrl } = await simulator.start();
    const upstreams = [upstream(baseUrl, { limits: { concurrency: 16 } })];
    const options = { folder: place.path("."), config: { upstreams, poll_ms: 100 } };
    const lines = chatLines(LINES, (index) => {
      return { customId: `line-${index}`, prompt: `Question ${index}` };
    });
    const customIds = lines.map(({ customId }) => customId);
    const path = await writeInputFile(place.path("input.jsonl"), lines);

    const first = await ServerProcess.start(options);
    const fileId = await upload(first.openai, path);
    const { id } = await createBatch(first.openai, fileId);
    await batchThat(first.openai, id, "run", ({ request_counts: counts }) => {
      return (counts?.completed ?? 0) > 50;
    });
    await first.kill();

    const folder = join(ServerProcess.dataDir(place.path(".")), "blobs", blobKeys.batch(id));
    const [journal] = (await filesBelow(folder)).filter((file) => file.startsWith("journals/"));
    const journalPath = join(folder, journal ?? "");
    const sound = await readFile(journalPath);
    const damaged = Buffer.from(sound);
    damaged[Math.floor(damaged.length / 3)]! ^= 0xff;
    await writeFile(journalPath, damaged);
    await until("the simulator to be idle", () => simulator.stats().inFlight === 0);
    const sent = simulator.stats().requests;

    const second = await ServerProcess.start(options);
    const reason = await until("a reason", () => waitingReason(second.openai, id));
    expect(reason).toMatch(/^Journal .* is damaged/);
    const { id: other } = await createBatch(second.openai, fileId);
    const otherBatch = await batchEnd(second.openai, other);
    expect(otherBatch.status).toBe("completed");
    expect(simulator.stats().requests).toBe(sent + LINES);
    expect((await second.openai.batches.retrieve(id)).status).toBe("in_progress");
    expect(await readFile(journalPath)).toEqual(damaged);
    await second.kill();

    await writeFile(journalPath, sound);
    await using third = await ServerProcess.start(options);
    const batch = await batchEnd(third.openai, id);
    expect(batch.status).toBe("completed");
    expect((await judge(third.openai, batch, customIds)).problems).toEqual([]);
  });
});
