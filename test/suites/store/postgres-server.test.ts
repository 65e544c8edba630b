// What is particular to PostgreSQL: its clock, nodes that race, connections that break, a server that
// restarts, and databases that cannot be used.

import { describe, expect, inject, it, onTestFinished } from "vitest";
import type { Store } from "../../../src/core/store.ts";
import { PostgresDatabase } from "../../../src/storage/sql/postgres-database.ts";
import { openPostgresStore } from "../../../src/storage/sql/postgres.ts";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { PgBouncer } from "../../support/pg-bouncer.ts";
import { administer, emptyPostgres } from "../../support/postgres-database.ts";
import { PostgresServer } from "../../support/postgres-server.ts";
import { until } from "../../support/until.ts";
import { describeSince2, describeStore, fillSchemaFixture } from "./schema-fixture.ts";
import {
  LEASE_MS,
  NODE,
  OTHER_NODE,
  PROJECT,
  aBatch,
  aFile,
  aWebhook,
  claimOneShard,
  plannedBatch,
  progressOf,
  read,
  someShards,
} from "./store-under-test.ts";

async function openAt(url: string, connections = 4): Promise<Store> {
  const store = await openPostgresStore({ url, connections });
  onTestFinished(() => store.close());
  return store;
}

/** Stores of so many nodes on the same new tables. */
async function nodes(count: number): Promise<Store[]> {
  const url = await emptyPostgres();
  return Promise.all(Array.from({ length: count }, () => openAt(url)));
}

async function startServer(): Promise<PostgresServer> {
  const server = await PostgresServer.start();
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

describe("tables", () => {
  it("are made once by nodes that start at the same time", async () => {
    const url = await emptyPostgres();
    const stores = await Promise.all(Array.from({ length: 6 }, () => openAt(url, 2)));
    await stores[0]!.batches.insert(aBatch("one"));
    for (const store of stores) expect((await read(store, "one")).status).toBe("validating");
    expect(await administer("select version from schema_version", url)).toHaveLength(1);
  });

  it("hold what SQLite's hold", async () => {
    const clock = new FakeClock();
    const url = await emptyPostgres();
    const store = await openPostgresStore({ url, connections: 4, leaseClock: clock });
    const sqlite = await openSqliteStore({ path: ":memory:", clock });
    onTestFinished(() => Promise.all([store.close(), sqlite.close()]).then(() => undefined));
    const described: unknown[] = [];
    for (const each of [store, sqlite]) {
      await fillSchemaFixture(each);
      described.push([await describeSince2(each), await describeStore(each)]);
    }
    expect(described[0]).toEqual(described[1]);
  });

  it("of a newer version are refused, and left as they are", async () => {
    const url = await emptyPostgres();
    await (await openPostgresStore({ url, connections: 1 })).close();
    await administer("update schema_version set version = 99", url);
    await expect(openPostgresStore({ url, connections: 1 })).rejects.toMatchObject({
      name: "SchemaVersionError",
      message: expect.stringContaining("has schema version 99"),
    });
    expect(await administer("select version from schema_version", url)).toEqual([{ version: 99 }]);
  });
});

describe("a database that cannot be used", () => {
  const address = () => new URL(inject("postgresUrl"));

  it("is named, without its password", async () => {
    const url = address();
    url.password = "hunter2secret";
    url.pathname = "/there_is_none";
    const opening = openPostgresStore({ url: url.href, connections: 1 });
    await expect(opening).rejects.toThrow(
      `Cannot use the database postgres://${url.host}/there_is_none: database "there_is_none" does not exist`,
    );
    await expect(opening).rejects.not.toThrow("hunter2secret");
  });

  it("is given up after a while when nothing listens there", async () => {
    const url = address();
    url.port = "9";
    const opening = openPostgresStore({ url: url.href, connections: 1 });
    await expect(opening).rejects.toThrow("cannot be reached: connect ECONNREFUSED 127.0.0.1:9");
  });
});

describe("several nodes", () => {
  it("judge leases by the server's clock", async () => {
    const [store, peer] = (await nodes(2)) as [Store, Store];
    await plannedBatch(store, "batch", { shards: someShards(2) });
    const query = { models: ["model-a"], owner: NODE, limit: 1, leaseMs: LEASE_MS };
    const [held] = await store.shards.claim("batch", query);
    const [other] = await peer.shards.claim("batch", { ...query, owner: OTHER_NODE, leaseMs: 1 });
    expect(other?.shardId).not.toBe(held?.shardId);
    const again = await until("the short lease to be over", async () => {
      const [claim] = await store.shards.claim("batch", query);
      return claim;
    });
    expect(again).toMatchObject({ shardId: other?.shardId, epoch: 2 });
  });

  it("never get the same work when they race for it", async () => {
    const stores = await nodes(8);
    const [store] = stores as [Store];
    for (let nth = 0; nth < 5; nth++) {
      await plannedBatch(store, `batch-${nth}`, { shards: someShards(40) });
    }
    for (let nth = 0; nth < 40; nth++) await store.batches.insert(aBatch(`new-${nth}`));
    const shards: string[] = [];
    const plans: string[] = [];
    await Promise.all(
      stores.map(async (node, at) => {
        const owner = `node_${at}`;
        for (let nth = 0; nth < 5; nth++) {
          const query = { models: ["model-a"], owner, leaseMs: LEASE_MS, limit: 3 };
          for (;;) {
            const claims = await node.shards.claim(`batch-${nth}`, query);
            shards.push(...claims.map(({ shardId, epoch }) => `${shardId} ${epoch}`));
            if (claims.length === 0) break;
          }
        }
        for (;;) {
          const claim = await node.batches.claimPlanning(owner, LEASE_MS, []);
          if (claim === undefined) break;
          plans.push(`${claim.batch.id} ${claim.epoch}`);
        }
      }),
    );
    expect(shards).toHaveLength(5 * 40);
    expect(new Set(shards).size).toBe(5 * 40);
    expect(plans.toSorted()).toEqual(
      Array.from({ length: 40 }, (_, nth) => `new-${nth} 1`).toSorted(),
    );
  });

  it("settle a batch once when its last shards are finished at the same time", async () => {
    const stores = await nodes(8);
    const [store] = stores as [Store];
    for (let nth = 0; nth < 10; nth++) {
      const id = `batch-${nth}`;
      await plannedBatch(store, id, { shards: someShards(8) });
      const claims = await store.shards.claim(id, {
        models: ["model-a"],
        owner: NODE,
        leaseMs: LEASE_MS,
        limit: 8,
      });
      const ends = await Promise.all(
        claims.map(({ shardId, epoch }, at) =>
          stores[at]!.shards.finish(shardId, epoch, 100, progressOf(10), 3_000),
        ),
      );
      expect(ends.filter(({ batchSettled }) => batchSettled)).toHaveLength(1);
      expect(await read(store, id)).toMatchObject({
        status: "finalizing",
        counts: { completed: 80 },
      });
    }
    expect((await store.batches.countByStatus()).finalizing).toBe(10);
  });

  it("keep to limits together", async () => {
    const stores = await nodes(4);
    const [store] = stores as [Store];
    const attempts = (make: (node: Store, id: string) => Promise<unknown>) =>
      Promise.allSettled(
        Array.from({ length: 40 }, (_, nth) => make(stores[nth % 4]!, `id-${nth}`)),
      );
    const made = (outcomes: PromiseSettledResult<unknown>[]) =>
      outcomes.filter(({ status }) => status === "fulfilled").length;
    const batches = await attempts((node, id) =>
      node.batches.insert(aBatch(id), { maxPerHour: 7 }),
    );
    const files = await attempts((node, id) =>
      node.files.insert(aFile(id, { sizeBytes: 100 }), { maxStoredBytes: 900 }),
    );
    const webhooks = await attempts((node, id) => node.webhooks.insert(aWebhook(id), 5));
    expect([made(batches), made(files), made(webhooks)]).toEqual([7, 9, 5]);
    expect((await store.batches.countByStatus()).validating).toBe(7);
  });

  it("give an Idempotency-Key to one of those that race for it", async () => {
    const stores = await nodes(4);
    for (let nth = 0; nth < 10; nth++) {
      const states = await Promise.all(
        stores.map((node) => node.idempotency.begin(PROJECT, `key-${nth}`, "POST /v1/files", 1)),
      );
      const kinds = states.map(({ kind }) => kind).toSorted();
      expect(kinds).toEqual(["begun", "running", "running", "running"]);
    }
  });
});

describe("text", () => {
  it("with NUL, which PostgreSQL cannot hold, is kept with a substitute", async () => {
    const [store] = (await nodes(1)) as [Store];
    const metadata = { "a\0key": "a\0value", half: "\ud800" };
    await store.files.insert(aFile("file", { filename: "in\0put.jsonl" }));
    await store.batches.insert(aBatch("batch", { metadata }));
    const file = await store.files.get(PROJECT, "file", 2_000);
    expect(file?.filename).toBe("in\uFFFDput.jsonl");
    expect((await read(store, "batch")).metadata).toEqual(metadata);
    const found = await store.batches.list(PROJECT, {
      limit: 5,
      metadata: { "a\0key": "a\0value" },
    });
    expect(found.data.map(({ id }) => id)).toEqual(["batch"]);
    const shards = someShards(1, { model: "m\0\ud800", requestedModel: "m\0" });
    await plannedBatch(store, "planned", { shards, model: "m\0" });
    const byModel = await store.batches.list(PROJECT, { limit: 5, model: "m\0" });
    expect(byModel.data.map(({ id }) => id)).toEqual(["planned"]);
  });
});

describe("behind PgBouncer, which shares connections by the transaction", () => {
  it("works for more nodes than it has connections", async () => {
    const server = await startServer();
    const bouncer = await PgBouncer.start(server, 3);
    onTestFinished(() => bouncer[Symbol.asyncDispose]());
    const stores = await Promise.all(Array.from({ length: 6 }, () => openAt(bouncer.url)));
    const [store] = stores as [Store];
    await plannedBatch(store, "batch", { shards: someShards(60) });
    const claims = await Promise.all(
      stores.map(async (node, at) => {
        const taken: string[] = [];
        const query = { models: ["model-a"], owner: `node_${at}`, leaseMs: LEASE_MS, limit: 2 };
        for (;;) {
          const some = await node.shards.claim("batch", query);
          if (some.length === 0) return taken;
          for (const { shardId, epoch } of some) {
            await node.shards.finish(shardId, epoch, 100, progressOf(10), 3_000);
            taken.push(shardId);
          }
        }
      }),
    );
    expect(new Set(claims.flat()).size).toBe(60);
    expect(claims.flat()).toHaveLength(60);
    expect(await read(store, "batch")).toMatchObject({
      status: "finalizing",
      counts: { completed: 600 },
    });
  });
});

describe("a connection that breaks", () => {
  it("loses nothing that was acknowledged and repeats nothing, through restarts and crashes of the server", async () => {
    const server = await startServer();
    const store = await openAt(server.url());
    const acknowledged: string[] = [];
    const unknown: string[] = [];
    const over = new AbortController();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let nth = 0; !over.signal.aborted; nth++) {
        const id = `batch-${writer}-${nth}`;
        try {
          await store.batches.insert(aBatch(id));
          acknowledged.push(id);
        } catch (error) {
          expect(error).toMatchObject({ name: "StorageUnavailableError" });
          unknown.push(id);
        }
      }
    });
    for (const end of ["stop", "kill", "stop", "kill"] as const) {
      const before = acknowledged.length;
      await until("more to be written", () => acknowledged.length > before + 50);
      await server[end]();
      await server.resume();
    }
    over.abort();
    await Promise.all(writers);
    const { data } = await store.batches.list(PROJECT, { limit: 100_000 });
    const kept = new Set(data.map(({ id }) => id));
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
    expect([...kept].filter((id) => !acknowledged.includes(id) && !unknown.includes(id))).toEqual(
      [],
    );
    expect((await store.batches.countByStatus()).validating).toBe(kept.size);
  });

  it("is replaced when the server ends it in the middle of a transaction", async () => {
    const [store] = (await nodes(1)) as [Store];
    await plannedBatch(store, "batch", { shards: someShards(1) });
    const { shardId, epoch } = await claimOneShard(store, "batch");
    const cut =
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'offpeak'";
    const renewals = Array.from({ length: 50 }, async (_, nth) => {
      if (nth % 10 === 5) await administer(cut);
      return store.shards.renew(NODE, LEASE_MS, [{ shardId, epoch, progress: progressOf(nth) }]);
    });
    const outcomes = await Promise.allSettled(renewals);
    for (const outcome of outcomes) {
      // Only a commit of which the answer was lost is told.
      if (outcome.status === "fulfilled") expect(outcome.value.lost).toEqual([]);
      else expect(outcome.reason).toMatchObject({ name: "StorageUnavailableError" });
    }
    expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(30);
  });

  it("says so when the database stays away", async () => {
    const server = await startServer();
    const store = await openAt(server.url());
    await server.stop();
    await expect(store.batches.insert(aBatch("batch"))).rejects.toMatchObject({
      name: "StorageUnavailableError",
      message: expect.stringContaining("cannot be reached"),
    });
    await server.resume();
    await store.batches.insert(aBatch("batch"));
  });

  it("of a node that is suspended in a transaction does not keep the others waiting for long", async () => {
    const url = await emptyPostgres();
    const store = await openAt(url);
    await store.batches.insert(aBatch("batch"));
    const suspended = new PostgresDatabase({ url, connections: 1 });
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>();
    let runs = 0;
    const writing = suspended.write(async (tx) => {
      await tx.updateTable("batches").set({ waiting_reason: "none" }).execute();
      if (++runs > 1) return;
      isLocked();
      await end;
      await tx.selectFrom("batches").select("id").execute();
    });
    await locked;
    expect((await store.batches.requestCancel(PROJECT, "batch", 4_000))?.status).toBe("cancelling");
    resolve();
    // What it had done is undone, and is done again.
    await writing;
    expect(runs).toBe(2);
    expect((await read(store, "batch")).waitingReason).toBe("none");
    await suspended.close();
  });
});
