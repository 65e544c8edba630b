// SIGKILL at seeded moments in every phase of a batch's life. However often the server dies, each line
// ends with exactly one result, nothing recorded is sent again, and a cut upload leaves no trace.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { blobKeys } from "../../src/core/blob-store.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, batchThat, createBatch, upload } from "../support/batch-driver.ts";
import { CrashCampaign, PHASES, type Phase, type Story } from "../support/crash-campaign.ts";
import { type ChatLine, chatLine, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { filesBelow } from "../support/killed-data.ts";
import { seededRandom } from "../support/random.ts";
import { upstream } from "../support/server-process.ts";
import { SlowUpload } from "../support/slow-upload.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

/** Kills wanted in each phase; together a little more than thirty. */
const WANTED: Record<Phase, number> = {
  upload: 6,
  validating: 7,
  running: 8,
  assembling: 6,
  cancelling: 6,
};
/** Kills that may miss the phase they are meant for. */
const MOST_KILLS = 100;
const LINES = 4_000;
const FILLER = "off-peak ".repeat(400);
const TOKEN_MS = 10;
/** Tokens of the lines of a batch that is to end by itself, and of one that is to be cancelled. */
const BRISK_TOKENS = 3;
const SLOW_TOKENS = 40;

const random = seededRandom("CRASH_SEED");

interface Input {
  fileId: string;
  lines: ChatLine[];
}

/** How long the phases of an undisturbed batch take on this machine, in milliseconds. */
type Durations = Record<"validating" | "running" | "assembling", number>;

describe(`a server that is killed again and again (CRASH_SEED=${random.seed})`, () => {
  it("ends every batch with one result for each line", async () => {
    using place = openWorkplace();
    await using simulator = new Simulator({ interTokenLatencyMs: TOKEN_MS });
    const { baseUrl } = await simulator.start();
    await using campaign = new CrashCampaign(simulator, {
      folder: place.path("."),
      config: { upstreams: [upstream(baseUrl)], cancel_grace_ms: 2_000 },
    });
    await campaign.start();
    const durations = await undisturbed(campaign, place);

    for (let round = 0; isShort(campaign) && campaign.total < MOST_KILLS; round++) {
      if (wants(campaign, "upload")) await killUpload(campaign, round);
      const toCancel = lack(campaign, "cancelling") > lack(campaign, "assembling");
      const tokens = toCancel ? SLOW_TOKENS : BRISK_TOKENS;
      const input = await uploadInput(campaign, place, `round ${round}`, tokens);
      await killBatch(campaign, input, durations, toCancel);
    }
    console.info(campaign.summary());
    for (const phase of PHASES) expect.soft(campaign.kills[phase], phase).toBeGreaterThanOrEqual(3);
    expect(campaign.total).toBeGreaterThanOrEqual(30);
    await expectNothingLeftBehind(campaign);
  });
});

function lack(campaign: CrashCampaign, phase: Phase): number {
  return Math.max(0, WANTED[phase] - campaign.kills[phase]);
}

function wants(campaign: CrashCampaign, phase: Phase): boolean {
  return lack(campaign, phase) > 0;
}

function isShort(campaign: CrashCampaign): boolean {
  return PHASES.some((phase) => wants(campaign, phase));
}

async function uploadInput(
  { server }: CrashCampaign,
  place: Workplace,
  name: string,
  maxTokens: number,
): Promise<Input> {
  const lines = Array.from({ length: LINES }, (_, index): ChatLine => {
    const prompt = `${name}, line ${index + 1}: ${FILLER}`;
    return { customId: `line-${index + 1}`, prompt, maxTokens };
  });
  const path = await writeInputFile(place.path("input.jsonl"), lines.map(chatLine));
  return { fileId: await upload(server.openai, path), lines };
}

/** One batch without a kill, to learn in which windows to strike. */
async function undisturbed(campaign: CrashCampaign, place: Workplace): Promise<Durations> {
  const { server } = campaign;
  const input = await uploadInput(campaign, place, "undisturbed", BRISK_TOKENS);
  const { id } = await createBatch(server.openai, input.fileId);
  await batchEnd(server.openai, id);
  const [created, planned, ended] = ["batch created", "batch planned", "batch ended"].map((msg) =>
    server.logged(msg).find((line) => line["batch_id"] === id),
  );
  const at = (line: typeof created) => Date.parse(line?.time ?? "");
  const assembling = Number(ended?.["assemble_ms"]);
  const durations = {
    validating: at(planned) - at(created),
    running: at(ended) - at(planned) - assembling,
    assembling,
  };
  console.info(`undisturbed, in ms: ${JSON.stringify(durations)}`);
  await finishStory(campaign, { batchId: id, lines: input.lines, kills: [] });
  return durations;
}

async function killBatch(
  campaign: CrashCampaign,
  { fileId, lines }: Input,
  durations: Durations,
  toCancel: boolean,
): Promise<void> {
  const { id } = await createBatch(campaign.server.openai, fileId);
  const story: Story = { batchId: id, lines, kills: [] };
  if (wants(campaign, "validating")) {
    await campaign.strike(story, ["validating"], random.next() * durations.validating * 0.6);
  }
  if (wants(campaign, "running")) {
    const windowMs = toCancel ? 1_000 : durations.running * 0.7;
    await campaign.strike(story, ["in_progress"], 50 + random.next() * windowMs);
  }
  if (toCancel) {
    await batchThat(campaign.server.openai, id, "run", ({ status, request_counts: counts }) => {
      return status === "in_progress" && (counts?.completed ?? 0) > 0;
    });
    await campaign.server.openai.batches.cancel(id);
  }
  const phase = toCancel ? "cancelling" : "assembling";
  const statuses = toCancel ? (["cancelling"] as const) : (["finalizing"] as const);
  const windowMs = toCancel ? SLOW_TOKENS * TOKEN_MS : durations.assembling * 0.6;
  while (wants(campaign, phase)) {
    const hit = await campaign.strike(story, statuses, random.next() * windowMs);
    if (hit !== phase) break;
  }
  await finishStory(campaign, story);
}

async function finishStory(campaign: CrashCampaign, story: Story): Promise<void> {
  const { openai } = campaign.server;
  const batch = await batchEnd(openai, story.batchId);
  const customIds = story.lines.map(({ customId }) => customId);
  const judgement = await judge(openai, batch, customIds);
  const problems = [...judgement.problems, ...campaign.problemsOfCalls(story)];
  expect(problems, `${batch.status} after ${story.kills.length} kills`).toEqual([]);
  if (batch.status === "completed") expect(judgement.output).toBe(LINES);
  else expect(batch.status).toBe("cancelled");
}

/** Kills the server in an upload: half of the times somewhere in its middle, else right at its end. */
async function killUpload(campaign: CrashCampaign, round: number): Promise<void> {
  const isCut = random.next() < 0.7;
  const line = JSON.stringify({ custom_id: "a", method: "POST", url: "/", body: FILLER });
  const content = Buffer.from(`${line}\n`.repeat(1_000));
  const filename = `cut-${round}.jsonl`;
  const slow = new SlowUpload(campaign.server.url, filename);
  const temporary = join(campaign.dataDir, "tmp");
  const cutAt = Math.floor(content.length * (isCut ? 0.3 + 0.6 * random.next() : 1));
  await slow.send(content.subarray(0, cutAt));
  await until("the upload to reach the disk", () => hasBytes(temporary), { pauseMs: 2 });
  if (!isCut) slow.finish();
  await delay(random.next() * 20);
  await campaign.server.kill();
  const isPartial = await hasBytes(temporary);
  campaign.kills[isPartial ? "upload" : "other"]++;
  await campaign.start();

  const fileId = await slow.fileId();
  const { data } = await campaign.server.openai.files.list();
  const listed = data.filter((file) => file.filename === filename);
  // At the very end it may be whole; then the client may know of it or not.
  if (isPartial) expect(listed).toEqual([]);
  for (const file of listed) expect(file.bytes).toBe(content.length);
  if (fileId !== null) expect(listed.map(({ id }) => id)).toEqual([fileId]);
  await expectNothingLeftBehind(campaign);
}

async function hasBytes(folder: string): Promise<boolean> {
  for (const file of await filesBelow(folder)) {
    if ((await stat(join(folder, file))).size > 0) return true;
  }
  return false;
}

/** On disk are the files that the API lists, and of ended batches nothing else. */
async function expectNothingLeftBehind({ server, dataDir }: CrashCampaign): Promise<void> {
  expect(await filesBelow(join(dataDir, "tmp"))).toEqual([]);
  const listed: string[] = [];
  for await (const { id } of server.openai.files.list()) listed.push(id);
  const kept = (folder: string) => async () => {
    return (await filesBelow(join(dataDir, "blobs", folder))).toSorted();
  };
  await expect.poll(kept(blobKeys.files), { timeout: 30_000 }).toEqual(listed.toSorted());
  await expect.poll(kept("batches"), { timeout: 30_000 }).toEqual([]);
}
