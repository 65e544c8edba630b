// How long clients wait for batches and lists of them when there are very many, against when there are few: over
// HTTP, on a running server of either kind of storage. Requests to both servers take turns.

import { mkdtemp } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Pool } from "undici";
import { systemClock } from "../../src/core/clock.ts";
import { openPostgresStore } from "../../src/storage/sql/postgres.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import { Backend } from "../backend.ts";
import { type BenchRun, type Figure, type Target, defineGroup } from "../bench-run.ts";
import {
  type Execute,
  endedBatchId,
  executeOnFile,
  executeOnPostgres,
  insertEnded,
  insertOpen,
  openBatchId,
} from "../many-rows.ts";
import { Server } from "../server.ts";
import { SharedServers } from "../shared-servers.ts";

const MANY = 100_000;
const FEW = 100;
/** Of them in progress, with shards that wait for a model that nobody serves. */
const OPEN_SHARE = 0.001;
/** As a batch of 50,000 lines has. */
const OPEN_SHARDS = 50;
const REQUESTS = 1_000;
const AT_A_TIME = 4;
const WARM_UP = 100;
const SETTLE_MS = 3_000;

const retrieveTarget: Target = { must: 50, better: "lower" };
const listTarget: Target = { must: 100, better: "lower" };

interface Population {
  ended: number;
  open: number;
}

function populationOf(batches: number): Population {
  const open = Math.max(1, Math.round(batches * OPEN_SHARE));
  return { ended: batches - open, open };
}

/** What is asked for, by name; `turn` chooses which batch, run or team. */
const routes = {
  retrieve: {
    name: "retrieve, completed",
    of: (turn: number, { ended }: Population) => `/${someEnded(turn, ended)}`,
  },
  retrieveOpen: {
    name: "retrieve, in progress",
    of: (turn: number, { open }: Population) => `/${openBatchId(1 + (turn % open))}`,
  },
  list20: { name: "list, limit=20", of: () => "?limit=20" },
  list100: { name: "list, limit=100", of: () => "?limit=100" },
  after: {
    name: "list, limit=20 after one of them",
    of: (turn: number, { ended }: Population) => `?limit=20&after=${someEnded(turn, ended)}`,
  },
  completed: { name: "list, status=completed", of: () => "?limit=20&status=completed" },
  inProgress: { name: "list, status=in_progress", of: () => "?limit=20&status=in_progress" },
  model: { name: "list, model of nearly all", of: () => "?limit=20&model=bench" },
  team: {
    name: "list, metadata of a tenth",
    of: (turn: number) => `?limit=20&metadata[team]=team-${turn % 10}`,
  },
  run: {
    name: "list, metadata of ten",
    of: (turn: number, { ended }: Population) =>
      `?limit=20&metadata[run]=run-${Math.floor((turn * 7_919) % (ended / 10))}`,
  },
  all: {
    name: "list, status, model and metadata of a tenth",
    of: (turn: number) => `?limit=20&status=completed&model=bench&metadata[team]=team-${turn % 10}`,
  },
  none: {
    name: "list, status and metadata that exclude each other",
    of: (turn: number) => `?limit=20&status=in_progress&metadata[team]=team-${turn % 10}`,
  },
} satisfies Record<string, { name: string; of: (turn: number, of: Population) => string }>;
type RouteName = keyof typeof routes;
const routeNames = Object.keys(routes) as RouteName[];

function someEnded(turn: number, ended: number): string {
  return endedBatchId(1 + ((turn * 7_919) % ended));
}

interface Filled {
  server: Server;
  population: Population;
}

async function fill(execute: Execute, { ended, open }: Population): Promise<void> {
  await insertEnded(execute, { batches: ended, model: "bench" });
  await insertOpen(execute, { batches: open, shards: OPEN_SHARDS, model: "of-nobody" });
}

/** On SQLite and a directory. */
async function startEmbedded(run: BenchRun, backendUrl: string, batches: number): Promise<Filled> {
  const dataDir = await mkdtemp(path.join(run.directory, "many-"));
  const file = path.join(dataDir, "offpeak.db");
  const population = populationOf(batches);
  await (await openSqliteStore({ path: file, clock: systemClock })).close();
  await fill(executeOnFile(file), population);
  return { server: await Server.start(run, { backendUrl, dataDir }), population };
}

/** On PostgreSQL and S3. */
async function startShared(
  run: BenchRun,
  backendUrl: string,
  batches: number,
  shared: SharedServers,
): Promise<Filled> {
  const place = await shared.newPlace();
  const population = populationOf(batches);
  const { postgres } = shared;
  await (await openPostgresStore({ url: postgres.url(place.name), connections: 2 })).close();
  const execute = executeOnPostgres(postgres, place.name);
  await fill(execute, population);
  // As autovacuum does within a minute.
  await execute("vacuum analyze");
  return { server: await place.startNode(run, "all", { backendUrl }), population };
}

/** Milliseconds of each request, ascending. */
async function timesOf(pool: Pool, paths: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  const rest = paths.values();
  const ask = async () => {
    for (const asked of rest) {
      const startedMs = performance.now();
      const answer = await pool.request({ method: "GET", path: `/v1/batches${asked}` });
      const text = await answer.body.text();
      times.push(performance.now() - startedMs);
      if (answer.statusCode !== 200) throw new Error(`${asked}: ${answer.statusCode} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, ask));
  return times.sort((a, b) => a - b);
}

function percentile(times: readonly number[], share: number): number {
  return times[Math.ceil(times.length * share) - 1] ?? Number.NaN;
}

/** Of each route, on a server with many batches and one with few. */
async function measureRoutes(
  run: BenchRun,
  stack: StackName,
  { many, few }: { many: Filled; few: Filled },
): Promise<Record<string, number>> {
  await delay(SETTLE_MS);
  const values: Record<string, number> = {};
  for (const route of routeNames) {
    const [ofFew, ofMany] = [await measureRoute(few, route), await measureRoute(many, route)];
    const p50 = percentile(ofMany, 0.5);
    const p99 = percentile(ofMany, 0.99);
    const ratio = p50 / percentile(ofFew, 0.5);
    values[`${stack}-${route}-p50`] = p50;
    values[`${stack}-${route}-p99`] = p99;
    values[`${stack}-${route}-ratio`] = ratio;
    run.progress(
      `${stacks[stack]}, ${routes[route].name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(1)} ms, slowest ` +
        `${percentile(ofMany, 1).toFixed(1)} ms; ${ratio.toFixed(2)} × that of ${FEW} batches`,
    );
  }
  return values;
}

async function measureRoute({ server, population }: Filled, route: RouteName): Promise<number[]> {
  const pool = new Pool(server.url, { connections: AT_A_TIME });
  const paths = Array.from({ length: REQUESTS }, (_, turn) => routes[route].of(turn, population));
  await timesOf(pool, paths.slice(0, WARM_UP));
  const times = await timesOf(pool, paths);
  await pool.destroy();
  return times;
}

const stacks = { embedded: "SQLite", shared: "PostgreSQL" } as const;
type StackName = keyof typeof stacks;

function figuresOf(stack: StackName): [string, Figure][] {
  return routeNames.flatMap((route): [string, Figure][] => {
    const target = route.startsWith("retrieve") ? retrieveTarget : listTarget;
    return [
      [
        `${stack}-${route}-p99`,
        { name: `${stacks[stack]}: ${routes[route].name}, 99th percentile`, unit: "ms", target },
      ],
      [`${stack}-${route}-p50`, { name: "the same, median", unit: "ms" }],
      [`${stack}-${route}-ratio`, { name: `median ÷ that with ${FEW} batches`, unit: "×" }],
    ];
  });
}

export const manyBatches = defineGroup<string>({
  name: "many-batches",
  about: `100,000 batches, of which 100 are in progress, with ${OPEN_SHARDS} shards each; ${AT_A_TIME} requests at a time, ${REQUESTS} of each kind, after as many to a server with ${FEW} batches; SQLite with a directory, PostgreSQL with S3 (Ceph)`,
  mostRounds: 2,
  onlyWhenAsked: true,
  figures: Object.fromEntries((Object.keys(stacks) as StackName[]).flatMap(figuresOf)),
  async measure(run) {
    await using stack = new AsyncDisposableStack();
    const { baseUrl } = stack.use(await Backend.start());
    const embedded = {
      many: await startEmbedded(run, baseUrl, MANY),
      few: await startEmbedded(run, baseUrl, FEW),
    };
    for (const { server } of Object.values(embedded)) stack.use(server);
    const ofEmbedded = await measureRoutes(run, "embedded", embedded);
    const shared = stack.use(await SharedServers.start());
    const onShared = {
      many: await startShared(run, baseUrl, MANY, shared),
      few: await startShared(run, baseUrl, FEW, shared),
    };
    for (const { server } of Object.values(onShared)) stack.use(server);
    return { ...ofEmbedded, ...(await measureRoutes(run, "shared", onShared)) };
  },
});
