// Nodes as processes on one PostgreSQL and one S3 bucket, while nothing goes wrong: who does what, how they
// divide limits, and how one that stops hands over.
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, batchThat, createBatch, upload } from "../support/batch-driver.ts";
import { chatLines, writeInputFile } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { emptyPostgres } from "../support/postgres-database.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { testBucket } from "../support/shared-storage.ts";
import { TcpRelay } from "../support/tcp-relay.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

/** Longer than any test: nothing here waits for a lease to end. */
const LEASE_MS = 600_000;

let place: Workplace;
let simulator: Simulator;
let shared: Record<string, unknown>;

beforeEach(async () => {
  place = openWorkplace();
  simulator = new Simulator({ timeToFirstTokenMs: 40 });
  const { baseUrl } = await simulator.start();
  onTestFinished(async () => {
    await simulator.stop();
    place[Symbol.dispose]();
  });
  const { bucket, prefix, endpoint } = await testBucket();
  shared = {
    upstreams: [upstream(baseUrl, { limits: { concurrency: 20 } })],
    database_url: await emptyPostgres(),
    blob_url: `s3://${bucket}/${prefix}`,
    s3_endpoint: endpoint,
    s3_path_style: true,
    secret_key: "the-same-on-all-nodes",
    lease_ms: LEASE_MS,
    shard_lines: 100,
  };
});

async function startNode(
  name: string,
  config: Record<string, unknown> = {},
): Promise<ServerProcess> {
  const folder = place.path(name);
  mkdirSync(folder);
  const node = await ServerProcess.start({ folder, config: { ...shared, ...config } });
  onTestFinished(() => node[Symbol.asyncDispose]());
  return node;
}

interface Readiness {
  nodes: { id: string; role: string; lanes: { in_flight: number; limit: number }[] }[];
}

async function nodesSeenBy({ url }: ServerProcess): Promise<Readiness["nodes"]> {
  return ((await (await fetch(`${url}/readyz`)).json()) as Readiness).nodes;
}

async function newBatch({ openai }: ServerProcess, count: number) {
  const lines = chatLines(count, (at) => ({ customId: `line-${at}`, prompt: `Line ${at}` }));
  const path = await writeInputFile(place.path(`input-${count}.jsonl`), lines);
  const { id } = await createBatch(openai, await upload(openai, path));
  return { id, customIds: lines.map(({ customId }) => customId) };
}

test("one node serves clients, another runs their batches", async () => {
  const api = await startNode("api", { role: "api" });
  const { id, customIds } = await newBatch(api, 300);
  const engine = await startNode("engine", { role: "engine" });
  const batch = await batchEnd(api.openai, id);
  expect(batch).toMatchObject({ status: "completed", request_counts: { completed: 300 } });
  expect((await judge(api.openai, batch, customIds)).problems).toEqual([]);
  expect(simulator.stats()).toMatchObject({ maxTimesSent: 1, peakInFlight: 20 });
  expect((await fetch(`${engine.url}/v1/batches`)).status).toBe(404);
  expect((await fetch(`${engine.url}/healthz`)).status).toBe(200);
  const roles = (await nodesSeenBy(api)).map(({ role }) => role);
  expect(roles.toSorted()).toEqual(["api", "engine"]);
  expect(await engine.metric("offpeak_queued_lines")).toEqual([{ labels: "", value: 0 }]);
});

test("nodes divide what may be in flight, and one that stops hands its work over at once", async () => {
  const [first, second] = [await startNode("first"), await startNode("second")];
  const { id, customIds } = await newBatch(first, 3_000);
  await until("both to work on it", async () => {
    const seen = await nodesSeenBy(first);
    return seen.length === 2 && seen.every(({ lanes }) => (lanes[0]?.in_flight ?? 0) > 0);
  });
  expect((await nodesSeenBy(first)).map(({ lanes }) => lanes[0]?.limit)).toEqual([10, 10]);
  await batchThat(second.openai, id, "be at work", ({ request_counts: counts }) => {
    return (counts?.completed ?? 0) > 300;
  });
  const { code, afterMs } = await first.terminate();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(10_000);
  // With leases of ten minutes it could not end if they had not been given back.
  const batch = await batchEnd(second.openai, id);
  expect(batch).toMatchObject({ status: "completed", request_counts: { completed: 3_000 } });
  expect((await judge(second.openai, batch, customIds)).problems).toEqual([]);
  expect(simulator.stats()).toMatchObject({ maxTimesSent: 1, peakInFlight: 20 });
  expect((await nodesSeenBy(second)).map(({ lanes }) => lanes[0]?.limit)).toEqual([20]);
});

test("files, uploads and batches made on one node are there on another at once", async () => {
  const [first, second] = [await startNode("first"), await startNode("second")];
  const { id } = await newBatch(first, 20);
  expect((await second.openai.batches.retrieve(id)).id).toBe(id);
  const batch = await batchEnd(second.openai, id);
  const text = await (await second.openai.files.content(batch.output_file_id ?? "")).text();
  expect(text.trimEnd().split("\n")).toHaveLength(20);
  expect((await first.openai.files.list()).data).toHaveLength(2);
});

test("two nodes cannot use one data directory", async () => {
  await startNode("first");
  const refused = await ServerProcess.startInVain({ folder: place.path("first"), config: shared });
  expect(refused.code).toBe(1);
  expect(refused.complaint).toContain("is in use by another Offpeak process");
});

test("while the database is away a node lives, counts, and says what is wrong", async () => {
  const database = new URL(String(shared["database_url"]));
  const relay = await TcpRelay.start("127.0.0.1", Number(database.port));
  database.port = String(relay.port);
  const node = await startNode("node", { database_url: database.href });
  const ask = async (path: string) => {
    const answer = await fetch(`${node.url}${path}`);
    return { status: answer.status, text: await answer.text() };
  };
  expect(JSON.parse((await ask("/readyz")).text)).toMatchObject({
    ready: true,
    database: { state: "ok", reason: null },
    nodes: [{ self: true, host: hostname(), role: "all" }],
  });
  expect((await ask("/metrics")).text).toContain('offpeak_nodes{role="all"} 1');
  await relay[Symbol.asyncDispose]();
  const askedMs = performance.now();
  expect((await ask("/healthz")).status).toBe(200);
  expect(performance.now() - askedMs).toBeLessThan(1_000);
  const { text } = await ask("/metrics");
  expect(text).toContain("offpeak_storage_up 0");
  expect(text).toContain("offpeak_journal_commit_waiting_seconds 0");
  await until("it to see that the database is away", async () => {
    const seen = JSON.parse((await ask("/readyz")).text) as { database: { state: string } };
    return seen.database.state === "unreachable";
  });
});

test("a node with another secret key than the others is refused", async () => {
  await startNode("first");
  await expect(startNode("second", { secret_key: "another-one-than-theirs" })).rejects.toThrow(
    /secret_key is not that of the node node_\w+ on /,
  );
});
