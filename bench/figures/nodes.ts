// Whether nodes add up: lines/s of several nodes that share a PostgreSQL and an S3 bucket against those of one, and
// what a line costs the two. The backend's latency is the limit, so that the machine is not.

import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../test/support/until.ts";
import { Backend } from "../backend.ts";
import { type BenchRun, type Target, defineGroup } from "../bench-run.ts";
import type { Traffic } from "../counting-relay.ts";
import { inputFile } from "../input-file.ts";
import { type ProcessorUse, countProcessorUse } from "../processor-use.ts";
import { type Place, SharedServers, type Statement } from "../shared-servers.ts";

const MANY = 8;
const SHARD_LINES = 1_000;
const LINES = 100_000;
/** From the first answer on: every node has its share by then, and its shards. */
const WARM_UP_MS = 12_000;
const SLOW = { inFlight: 120, latencyMs: 1_500, rounds: 24 };
const FAST = { inFlight: 1_000, latencyMs: 1_000, rounds: 24 };
const FLAGS = ["--shard-lines", SHARD_LINES, "--limits-lines-per-batch", LINES].map(String);
const TRANSACTION = /^(?:begin|commit|rollback|set) ?/i;

interface Load {
  /** Of each node. */
  inFlight: number;
  latencyMs: number;
  /** How often everything in flight is answered while it is measured. */
  rounds: number;
}

interface Measured {
  lines: number;
  seconds: number;
  statements: Statement[];
  database: Traffic;
  objects: Traffic;
  processors: ProcessorUse;
}

/** Runs a batch on so many nodes, and measures while all of them run it. */
async function measureNodes(
  run: BenchRun,
  shared: SharedServers,
  nodes: number,
  load: Load,
): Promise<Measured> {
  const { inFlight, latencyMs } = load;
  await using stack = new AsyncDisposableStack();
  const backend = stack.use(await Backend.start({ latencyMs }));
  const place = await shared.newPlace();
  const options = { backendUrl: backend.baseUrl, concurrency: nodes * inFlight, flags: FLAGS };
  const api = stack.use(await place.startNode(run, "api", options));
  for (let count = 0; count < nodes; count++) {
    stack.use(await place.startNode(run, "engine", options));
  }
  const file = await inputFile(run.directory, { lines: LINES, lineBytes: 400 });
  const id = await api.createBatch(await api.uploadFile(file));
  await until("the first answer", async () => (await backend.tell({})).posts > 0);
  await delay(WARM_UP_MS);
  const measured = await measureWindow({ backend, place, shared }, nodes * inFlight * load.rounds);
  const { status } = await api.batch(id);
  if (status !== "in_progress") throw new Error(`the batch is ${status}: it has too few lines`);
  tell(run, nodes, measured);
  return measured;
}

/** Over so many lines: whole rounds of requests, for they come in waves, from the beginning of one. */
async function measureWindow(
  { backend, place, shared }: { backend: Backend; place: Place; shared: SharedServers },
  lines: number,
): Promise<Measured> {
  const reach = (wanted: number) =>
    until(
      `${wanted} requests`,
      async () => {
        const { posts } = await backend.tell({});
        return posts >= wanted && posts;
      },
      { timeoutMs: 300_000 },
    );
  const { posts } = await backend.tell({});
  const before = await reach(posts + 1);
  const startedMs = performance.now();
  await place.forgetStatements();
  shared.databaseRelay.take();
  shared.objectRelay.take();
  const processorUse = countProcessorUse();
  await reach(before + lines);
  return {
    lines,
    seconds: (performance.now() - startedMs) / 1_000,
    processors: processorUse(),
    database: shared.databaseRelay.take(),
    objects: shared.objectRelay.take(),
    statements: await place.statements(),
  };
}

/** What the figures are made of, for who wants to know why. */
function tell(run: BenchRun, nodes: number, measured: Measured): void {
  const { lines, seconds, statements, objects, processors } = measured;
  const rates = (calls: number) =>
    `${(calls / seconds / nodes).toFixed(2)}/s a node, ${((calls * SHARD_LINES) / lines).toFixed(2)} a shard`;
  const percent = [...processors.percentByName]
    .filter(([, used]) => used >= 1)
    .map(([name, used]) => `${name} ${used.toFixed(0)} %`);
  run.progress(
    [
      `${nodes} nodes: ${lines} lines in ${seconds.toFixed(1)} s; of one processor: ${percent.join(", ")}; ` +
        `of all, idle: ${processors.idlePercent.toFixed(0)} %`,
      ...statements.map(
        ({ text, calls }) => `${rates(calls)}: ${text.replaceAll(/\s+/g, " ").slice(0, 160)}`,
      ),
      ...[...objects.requests].map(([name, calls]) => `${rates(calls)}: ${name}`),
    ].join("\n          "),
  );
}

function perThousand({ lines, statements }: Measured, isCounted = (_text: string) => true): number {
  const counted = statements.filter(({ text }) => isCounted(text));
  return (1_000 * counted.reduce((sum, { calls }) => sum + calls, 0)) / lines;
}

const isQuery = (text: string) => !TRANSACTION.test(text);

function requestsPerThousand({ lines, objects }: Measured, method: string): number {
  const calls = [...objects.requests].map(([name, count]) => (name.startsWith(method) ? count : 0));
  return (1_000 * calls.reduce((sum, count) => sum + count, 0)) / lines;
}

const rateOf = ({ lines, seconds }: Measured) => lines / seconds;
const linear: Target = { must: 0.95, better: "higher" };
const fewQueries: Target = { must: 10, better: "lower" };
const per = "per 1,000 lines";

export const nodes = defineGroup({
  name: "nodes",
  about: `nodes on one PostgreSQL and one S3 bucket (Ceph), ${SLOW.inFlight} in flight on each, ${SLOW.latencyMs / 1_000} s, over ${SLOW.rounds} rounds of requests; shards of ${SHARD_LINES} lines of 400 bytes; "fast" is one node with ${FAST.inFlight} in flight, ${FAST.latencyMs / 1_000} s`,
  mostRounds: 3,
  onlyWhenAsked: true,
  figures: {
    ratio2: { name: "lines/s of 2 nodes ÷ 2 × those of one", unit: "×", target: linear },
    ratio4: { name: "lines/s of 4 nodes ÷ 4 × those of one", unit: "×", target: linear },
    ratio8: { name: "lines/s of 8 nodes ÷ 8 × those of one", unit: "×", target: linear },
    rate1: { name: "one node", unit: "lines/s" },
    rate2: { name: "2 nodes", unit: "lines/s" },
    rate4: { name: "4 nodes", unit: "lines/s" },
    rate8: { name: "8 nodes", unit: "lines/s" },
    ideal: { name: "one node ÷ what is in flight ÷ latency", unit: "×" },
    processors: { name: "processor time of everything, 8 nodes, of the machine", unit: "%" },
    idle: { name: "processor time left idle meanwhile, of the machine", unit: "%" },
    queries: { name: "queries to PostgreSQL, 8 nodes", unit: per, target: fewQueries },
    statements: { name: "the same with begin, set and commit", unit: per },
    toDatabase: { name: "to PostgreSQL per line, 8 nodes", unit: "bytes" },
    fromDatabase: { name: "from PostgreSQL per line, 8 nodes", unit: "bytes" },
    puts: { name: "PUTs to S3, 8 nodes", unit: per },
    gets: { name: "GETs from S3, 8 nodes", unit: per },
    otherRequests: { name: "other requests to S3, 8 nodes", unit: per },
    toObjects: { name: "to S3 per line, 8 nodes", unit: "bytes" },
    fromObjects: { name: "from S3 per line, 8 nodes", unit: "bytes" },
    fastRate: { name: "one node, fast", unit: "lines/s" },
    fastQueries: { name: "queries to PostgreSQL, fast", unit: per, target: fewQueries },
    fastPuts: { name: "PUTs to S3, fast", unit: per },
    fastToObjects: { name: "to S3 per line, fast", unit: "bytes" },
  },
  async measure(run) {
    await using shared = await SharedServers.start();
    const one = await measureNodes(run, shared, 1, SLOW);
    const two = await measureNodes(run, shared, 2, SLOW);
    const four = await measureNodes(run, shared, 4, SLOW);
    const many = await measureNodes(run, shared, MANY, SLOW);
    const fast = await measureNodes(run, shared, 1, FAST);
    const puts = requestsPerThousand(many, "PUT");
    const gets = requestsPerThousand(many, "GET");
    return {
      ratio2: rateOf(two) / 2 / rateOf(one),
      ratio4: rateOf(four) / 4 / rateOf(one),
      ratio8: rateOf(many) / MANY / rateOf(one),
      rate1: rateOf(one),
      rate2: rateOf(two),
      rate4: rateOf(four),
      rate8: rateOf(many),
      ideal: rateOf(one) / ((1_000 * SLOW.inFlight) / SLOW.latencyMs),
      processors: many.processors.percent,
      idle: many.processors.idlePercent,
      queries: perThousand(many, isQuery),
      statements: perThousand(many),
      toDatabase: many.database.toServerBytes / many.lines,
      fromDatabase: many.database.fromServerBytes / many.lines,
      puts,
      gets,
      otherRequests: requestsPerThousand(many, "") - puts - gets,
      toObjects: many.objects.toServerBytes / many.lines,
      fromObjects: many.objects.fromServerBytes / many.lines,
      fastRate: rateOf(fast),
      fastQueries: perThousand(fast, isQuery),
      fastPuts: requestsPerThousand(fast, "PUT"),
      fastToObjects: fast.objects.toServerBytes / fast.lines,
    };
  },
});
