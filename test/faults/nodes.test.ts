// Three nodes on one PostgreSQL and one S3 bucket, and everything that can happen to them, over and over, from a
// seed: nodes killed and suspended, the database restarted, crashed and cut off, S3 failing in every way and cut
// off, and clocks that are five minutes apart all the while. The judge only counts.
import { setTimeout as delay } from "node:timers/promises";
import type OpenAI from "openai";
import type { Batch } from "openai/resources/batches";
import { expect, inject, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { CHAT, hasEnded } from "../support/batch-driver.ts";
import { chatLine } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import type { FaultSpan, OutputLine, Wake } from "../support/lease-history.ts";
import { LEASE_MS, NodeCluster } from "../support/node-cluster.ts";
import { seededRandom } from "../support/random.ts";
import type { FaultAction } from "../support/s3-fault-proxy.ts";
import { until } from "../support/until.ts";
import { openWorkplace } from "../support/workplace.ts";

/** Faults that must have bitten: a call was cut, a lease lost, a commit refused. */
const WANTED_BITES = 100;
const MIN_BATCHES = 20;
const OPEN_BATCHES = 6;
const LINES = 300;
const CONCURRENCY = 24;
const TIME_TO_ANSWER_MS = 60;
const MOST_MS = 480_000;

const kinds = [
  "node killed",
  "node suspended",
  "node cut from database",
  "node cut from S3",
  "database restarted",
  "database crashed",
  "connections to database cut",
  "S3 fails",
] as const;
type Kind = (typeof kinds)[number];

const random = seededRandom("NODES_SEED");
const between = (low: number, high: number) => Math.round(low + random.next() * (high - low));
const oneOf = <T>(choices: readonly T[]): T => choices[between(0, choices.length - 1)] as T;

/** What S3 does to a request while it fails. */
const s3Faults: readonly (() => FaultAction)[] = [
  () => ({ status: 500 }),
  () => ({ status: 503 }),
  () => "reset",
  () => "reset-after",
  () => ({ delayMs: between(200, 2_000) }),
];

class Campaign {
  readonly bites = new Map<Kind, number>(kinds.map((kind) => [kind, 0]));
  readonly spans: FaultSpan[] = [];
  readonly wakes: Wake[] = [];
  cluster!: NodeCluster;
  isOver = false;
  /** Of the requests to S3, while it fails. */
  #s3FailureRate = 0;
  #s3Failures = 0;

  get total(): number {
    return [...this.bites.values()].reduce((sum, count) => sum + count, 0);
  }

  decideS3(): FaultAction {
    if (random.next() >= this.#s3FailureRate) return "pass";
    this.#s3Failures++;
    return oneOf(s3Faults)();
  }

  /** Any of them, or every other time the one that has bitten least. */
  #choose(among: readonly Kind[]): Kind {
    if (random.next() < 0.5) return oneOf(among);
    return among.toSorted((a, b) => this.bites.get(a)! - this.bites.get(b)!)[0]!;
  }

  /** Does one fault, and counts it when it bit. */
  async strike(kind: Kind, nodes: readonly number[], fault: () => Promise<boolean>): Promise<void> {
    const start = Date.now();
    const hasBitten = await fault();
    // What a fault has held up may be lost until the leases of that time are over.
    this.spans.push({ start, end: Date.now() + LEASE_MS, nodes });
    if (hasBitten) this.bites.set(kind, this.bites.get(kind)! + 1);
  }

  /** One fault after the other on one node, until it is over. */
  async haunt(number: number): Promise<void> {
    const { cluster } = this;
    const node = cluster.nodes[number - 1]!;
    const isBusy = () => node.recorder.inFlight > 0;
    const longMs = () => between(LEASE_MS * 1.2, LEASE_MS * 1.8);
    while (!this.isOver) {
      await delay(between(500, 2_000));
      const startedAt = Date.now();
      const kind = this.#choose(kinds.slice(0, 4));
      await this.strike(kind, [number], async () => {
        const wasBusy = isBusy();
        if (kind === "node killed") {
          await cluster.killNode(number);
          await delay(between(0, 1_000));
          await until("the node to start", () => cluster.startNode(number).then(() => true));
          return wasBusy;
        }
        if (kind === "node suspended") {
          this.wakes.push({ node: number, at: await cluster.suspend(number, longMs()) });
        } else if (kind === "node cut from S3")
          await cluster.cut(number, "s3", between(1_500, 2_500));
        else await cluster.cut(number, "database", longMs());
        if (kind === "node cut from S3") return wasBusy;
        return wasBusy && (await this.#takeOvers(startedAt)) > 0;
      });
    }
  }

  async #takeOvers(since: number): Promise<number> {
    try {
      return await this.cluster.history.takeOversSince(since);
    } catch {
      // The database is away: another fault.
      return 0;
    }
  }

  /** One fault after the other on what all nodes share. */
  async hauntAll(): Promise<void> {
    const { postgres, nodes } = this.cluster;
    const all = nodes.map(({ number }) => number);
    const isBusy = () => nodes.some(({ recorder }) => recorder.inFlight > 0);
    while (!this.isOver) {
      await delay(between(1_000, 2_500));
      const kind = this.#choose(kinds.slice(4));
      await this.strike(kind, all, async () => {
        const wasBusy = isBusy();
        if (kind === "S3 fails") {
          const before = this.#s3Failures;
          this.#s3FailureRate = 0.2 + 0.6 * random.next();
          await delay(between(500, 3_000));
          this.#s3FailureRate = 0;
          return this.#s3Failures > before;
        }
        if (kind === "connections to database cut") {
          const cut = await postgres.execute(
            `select pg_terminate_backend(pid) as was_cut from pg_stat_activity
             where application_name like 'offpeak%'`,
          );
          return wasBusy && cut.some((row) => row["was_cut"] === true);
        }
        await (kind === "database restarted" ? postgres.stop() : postgres.kill());
        await delay(between(0, 1_500));
        await postgres.resume();
        return wasBusy;
      });
    }
  }

  summary(): string {
    const counts = [...this.bites].map(([kind, count]) => `${kind} ${count}`);
    return `${this.total} faults that bit: ${counts.join(", ")}`;
  }
}

/** Some node's API, again and again until it does what it is asked, as a client with retries. */
async function patiently<T>(
  { cluster }: Campaign,
  what: string,
  ask: (openai: OpenAI) => Promise<T>,
): Promise<T> {
  const outcome = await until(
    what,
    async () => {
      const process = cluster.anyProcess(() => random.next());
      return process && { value: await ask(process.openai) };
    },
    { timeoutMs: 120_000, pauseMs: 100 },
  );
  return outcome.value;
}

const options = { timeout: 5_000 };

async function runBatch(campaign: Campaign, nth: number): Promise<{ batch: Batch; ids: string[] }> {
  const ids = Array.from({ length: LINES }, (_, line) => `batch-${nth}-line-${line}`);
  const text = ids
    .map((customId) => {
      const { url, body } = chatLine({ customId, prompt: customId, maxTokens: 3 });
      return `${JSON.stringify({ custom_id: customId, method: "POST", url, body })}\n`;
    })
    .join("");
  const about = (step: string) => ({
    ...options,
    headers: { "Idempotency-Key": `${step}-${nth}` },
  });
  const { id: input } = await patiently(campaign, "an upload", (openai) =>
    openai.files.create(
      { file: new File([text], "input.jsonl"), purpose: "batch" },
      about("upload"),
    ),
  );
  const { id } = await patiently(campaign, "a batch", (openai) =>
    openai.batches.create(
      { input_file_id: input, endpoint: CHAT, completion_window: "24h" },
      about("create"),
    ),
  );
  if (nth % 7 === 3) {
    await delay(between(500, 4_000));
    await patiently(campaign, "a cancellation", (openai) => openai.batches.cancel(id, options));
  }
  const batch = await until(
    `batch ${id} to end`,
    async () => {
      const seen = await patiently(campaign, "a look", (openai) =>
        openai.batches.retrieve(id, options),
      );
      return hasEnded(seen) && seen;
    },
    { timeoutMs: MOST_MS, pauseMs: 250 },
  );
  return { batch, ids };
}

async function outputOf(openai: OpenAI, { output_file_id: id }: Batch): Promise<OutputLine[]> {
  if (!id) return [];
  const text = await (await openai.files.content(id)).text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { custom_id: customId, response } = JSON.parse(line) as {
        custom_id: string;
        response: { request_id: string };
      };
      return { customId, requestId: response.request_id };
    });
}

it(`three nodes lose nothing and repeat nothing, whatever happens to them (NODES_SEED=${random.seed})`, async () => {
  using place = openWorkplace();
  await using simulator = new Simulator({ timeToFirstTokenMs: TIME_TO_ANSWER_MS });
  const { origin } = await simulator.start();
  const campaign = new Campaign();
  await using cluster = await NodeCluster.start({
    place,
    s3: inject("s3"),
    simulator: origin,
    clockSkewsMs: [0, 300_000, -300_000],
    concurrency: CONCURRENCY,
    decideS3: () => campaign.decideS3(),
  });
  campaign.cluster = cluster;

  const faults = [
    ...cluster.nodes.map(({ number }) => campaign.haunt(number)),
    campaign.hauntAll(),
  ];
  const ended: { batch: Batch; ids: string[] }[] = [];
  let started = 0;
  const startedAt = Date.now();
  const isShort = () =>
    started < MIN_BATCHES || (campaign.total < WANTED_BITES && Date.now() - startedAt < MOST_MS);
  const clients = Array.from({ length: OPEN_BATCHES }, async () => {
    while (isShort()) ended.push(await runBatch(campaign, started++));
  });
  await until("enough faults", () => campaign.total >= WANTED_BITES, { timeoutMs: MOST_MS });
  campaign.isOver = true;
  await Promise.all(faults);
  await Promise.all(clients);
  console.info(`${campaign.summary()}; ${ended.length} batches`);

  const { openai } = cluster.nodes[0]!.process!;
  const outputs: OutputLine[] = [];
  for (const { batch, ids } of ended) {
    expect(["completed", "cancelled"]).toContain(batch.status);
    const { problems } = await judge(openai, batch, ids);
    expect(problems).toEqual([]);
    outputs.push(...(await outputOf(openai, batch)));
  }
  expect(ended.length).toBeGreaterThanOrEqual(MIN_BATCHES);
  expect(ended.filter(({ batch }) => batch.status === "completed").length).toBeGreaterThan(10);
  const { spans, wakes } = campaign;
  expect(await cluster.history.problems(outputs, spans, wakes)).toEqual([]);
  for (const kind of kinds) expect(campaign.bites.get(kind), kind).toBeGreaterThan(0);
});
