// What finding and taking work costs an engine when much is open, against when little is: the queries themselves, on
// databases that differ in the number of open batches, or of queued lines. They take turns, query by query.

import path from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import type { ShardClaim, ShardProgress } from "../../src/core/shard-store.ts";
import type { Store } from "../../src/core/store.ts";
import { openPostgresStore } from "../../src/storage/sql/postgres.ts";
import { openSqliteStore } from "../../src/storage/sql/sqlite.ts";
import { type BenchRun, type Figure, defineGroup } from "../bench-run.ts";
import {
  type Execute,
  executeOnFile,
  executeOnPostgres,
  insertOpen,
  insertSettled,
  insertUnplanned,
  openBatchId,
} from "../many-rows.ts";
import { median } from "../report.ts";
import { startPostgres } from "../shared-servers.ts";

/** How much is open in each database. Shards have 1,000 lines. */
const scenes = {
  batches10: { batches: 10, shards: 4 },
  batches1000: { batches: 1_000, shards: 4 },
  batches10000: { batches: 10_000, shards: 4 },
  spread1: { batches: 10, shards: 100 },
  spread20: { batches: 10, shards: 2_000 },
  single1: { batches: 1, shards: 1_000 },
  single20: { batches: 1, shards: 20_000 },
} as const;
type SceneName = keyof typeof scenes;

const RUNNABLE_LIMIT = 200;
const RENEWED = 16;
const TURNS = 50;
const LEASE_MS = 600_000;
const MODEL = "bench";
const NO_PROGRESS: ShardProgress = {
  completed: 0,
  failed: 0,
  usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedTokens: 0, reasoningTokens: 0 },
  answeredModel: null,
};

interface Scene {
  name: SceneName;
  store: Store;
  execute: Execute;
  renewed: ShardClaim[];
}

type Query = (scene: Scene, turn: number) => Promise<() => Promise<unknown>>;
const nothing = () => Promise.resolve();

/** What is timed; each answers what puts things back, which is not. */
const queries = {
  list: async ({ store }) => {
    await store.batches.listRunnable(RUNNABLE_LIMIT);
    return nothing;
  },
  claim: async ({ store, name }, turn) => {
    const batchId = openBatchId(1 + ((turn * 7_919) % scenes[name].batches));
    const query = { models: [MODEL], owner: "claimer", leaseMs: LEASE_MS, limit: 1 };
    const [claim] = await store.shards.claim(batchId, query);
    if (!claim) throw new Error(`${name}: expected a shard of ${batchId}, got none`);
    return () => store.shards.release(claim.shardId, claim.epoch, 0, NO_PROGRESS);
  },
  renew: async ({ store, renewed }) => {
    const shards = renewed.map(({ shardId, epoch }) => ({
      shardId,
      epoch,
      progress: NO_PROGRESS,
    }));
    const { lost } = await store.shards.renew("renewer", LEASE_MS, shards);
    if (lost.length > 0) throw new Error(`expected to keep all shards, lost ${lost.join(", ")}`);
    return nothing;
  },
  nothingDue: async ({ store }) => {
    const due = await store.batches.findDue(0);
    if (Object.values(due).includes(true))
      throw new Error(`expected nothing due, got ${JSON.stringify(due)}`);
    return nothing;
  },
  planning: async ({ store }) => {
    const claim = await store.batches.claimPlanning("planner", LEASE_MS, []);
    if (!claim) throw new Error("expected a batch to plan, got none");
    return () => store.batches.releaseClaim(claim.batch.id, claim.epoch);
  },
  assembling: async ({ store }) => {
    const claim = await store.batches.claimAssembling("assembler", LEASE_MS);
    if (!claim) throw new Error("expected a batch to assemble, got none");
    return () => store.batches.releaseClaim(claim.batch.id, claim.epoch);
  },
} satisfies Record<string, Query>;
type QueryName = keyof typeof queries;

const queryNames: Readonly<Record<QueryName, string>> = {
  list: `list of ${RUNNABLE_LIMIT} runnable batches`,
  claim: "claim of a shard",
  renew: `renewal of ${RENEWED} shards`,
  nothingDue: "look for what is due, nothing",
  planning: "claim of a batch to plan",
  assembling: "claim of a batch to assemble",
};
/** Before anything is there to be planned or assembled, and after. */
const phases: readonly (readonly QueryName[])[] = [
  ["list", "claim", "renew", "nothingDue"],
  ["planning", "assembling"],
];

/** Milliseconds. */
type Medians = Record<SceneName, number>;

const drivers = {
  sqlite: "SQLite",
  postgres: "PostgreSQL",
  stale: "PostgreSQL without statistics",
} as const;
type DriverName = keyof typeof drivers;

/** Large ÷ small; the list is compared where it is full either way. */
function ratiosOf(query: QueryName, ms: Medians): number[] {
  const fewest = query === "list" ? ms.batches1000 : ms.batches10;
  return [ms.batches10000 / fewest, ms.spread20 / ms.spread1, ms.single20 / ms.single1];
}

async function fill(name: SceneName, store: Store, execute: Execute): Promise<Scene> {
  await insertOpen(execute, { ...scenes[name], model: MODEL });
  const renewed: ShardClaim[] = [];
  const query = { models: [MODEL], owner: "renewer", leaseMs: LEASE_MS };
  for (let index = 1; renewed.length < RENEWED; index++) {
    const batchId = openBatchId(1 + (index % scenes[name].batches));
    renewed.push(...(await store.shards.claim(batchId, { ...query, limit: 2 })));
  }
  return { name, store, execute, renewed };
}

/** All queries in all scenes, in rotation. */
async function measureQueries(
  open: readonly Scene[],
  phase: readonly QueryName[],
): Promise<Map<QueryName, Medians>> {
  const times = new Map(
    phase.map((query) => [query, new Map(open.map(({ name }) => [name, [] as number[]]))]),
  );
  for (let turn = 0; turn < TURNS; turn++) {
    for (const query of phase) {
      for (const scene of open) {
        const startedMs = performance.now();
        const putBack = await queries[query](scene, turn);
        times
          .get(query)
          ?.get(scene.name)
          ?.push(performance.now() - startedMs);
        await putBack();
      }
    }
  }
  return new Map(
    [...times].map(([query, byScene]) => {
      const medians = [...byScene].map(([name, ms]) => [name, median(ms)]);
      return [query, Object.fromEntries(medians) as Medians];
    }),
  );
}

async function addClaimable(open: readonly Scene[]): Promise<void> {
  for (const { name, execute } of open) {
    await insertUnplanned(execute);
    await insertSettled(execute, scenes[name].shards);
  }
}

async function removeClaimable(open: readonly Scene[]): Promise<void> {
  for (const { execute } of open) {
    await execute("delete from shards where batch_id = 'batch_settled'");
    await execute("delete from batches where id in ('batch_settled', 'batch_new')");
  }
}

async function measureScenes(
  run: BenchRun,
  driver: DriverName,
  open: readonly Scene[],
): Promise<[string, number][]> {
  const [first = [], second = []] = phases;
  const idle = await measureQueries(open, first);
  await addClaimable(open);
  const busy = await measureQueries(open, second);
  await removeClaimable(open);
  return [...idle, ...busy].flatMap(([query, ms]) => {
    const text = Object.entries(ms).map(([name, value]) => `${name} ${value.toFixed(2)}`);
    run.progress(`${drivers[driver]}, ${queryNames[query]}, ms: ${text.join(", ")}`);
    return [
      [`${driver}-${query}-ratio`, Math.max(...ratiosOf(query, ms))],
      [`${driver}-${query}-ms`, ms.batches10000],
    ] as [string, number][];
  });
}

async function measureSqlite(run: BenchRun): Promise<[string, number][]> {
  await using stack = new AsyncDisposableStack();
  const open: Scene[] = [];
  for (const name of Object.keys(scenes) as SceneName[]) {
    const file = path.join(run.directory, `claims-${Date.now()}-${name}.db`);
    const store = await openSqliteStore({ path: file, clock: systemClock });
    stack.defer(() => store.close());
    open.push(await fill(name, store, executeOnFile(file)));
  }
  return await measureScenes(run, "sqlite", open);
}

async function measurePostgres(run: BenchRun): Promise<[string, number][]> {
  await using stack = new AsyncDisposableStack();
  // So that nothing is analyzed before it is to be.
  const server = stack.use(await startPostgres({ autovacuum: "off" }));
  const open: Scene[] = [];
  for (const name of Object.keys(scenes) as SceneName[]) {
    await server.execute(`create database ${name}`);
    const store = await openPostgresStore({ url: server.url(name), connections: 2 });
    stack.defer(() => store.close());
    open.push(await fill(name, store, executeOnPostgres(server, name)));
  }
  const stale = await measureScenes(run, "stale", open);
  for (const { execute } of open) await execute("vacuum analyze");
  return [...stale, ...(await measureScenes(run, "postgres", open))];
}

function figuresOf(driver: DriverName): [string, Figure][] {
  return Object.entries(queryNames).flatMap(([query, name]) => [
    [
      `${driver}-${query}-ratio`,
      {
        name: `${drivers[driver]}: ${name}, much ÷ little`,
        unit: "×",
        target: { must: 1.5, better: "lower" },
      },
    ],
    [`${driver}-${query}-ms`, { name: "the same with 10,000 open batches", unit: "ms" }],
  ]) as [string, Figure][];
}

export const claims = defineGroup<string>({
  name: "claims",
  about: `the largest of three ratios of medians: 10,000 ÷ 10 open batches of 4 free shards (÷ 1,000 for the list, which is full then too), 20 ÷ 1 million queued lines in 10 batches, and in a single one`,
  mostRounds: 3,
  onlyWhenAsked: true,
  figures: Object.fromEntries((Object.keys(drivers) as DriverName[]).flatMap(figuresOf)),
  async measure(run) {
    return Object.fromEntries([...(await measureSqlite(run)), ...(await measurePostgres(run))]);
  },
});
