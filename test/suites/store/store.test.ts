// Holds every driver to the Store's contract. Another driver is one more line of `drivers`.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, onTestFinished } from "vitest";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { batchCases } from "./batches.ts";
import { deliveryCases } from "./deliveries.ts";
import { demandCases } from "./demands.ts";
import { endingCases } from "./ending.ts";
import { fileCases } from "./files.ts";
import { findingCases } from "./finding.ts";
import { idempotencyCases } from "./idempotency.ts";
import { journalCases } from "./journals.ts";
import { keyCases } from "./keys.ts";
import { limitCases } from "./limits.ts";
import { modelCases } from "./models.ts";
import { pagingCases } from "./paging.ts";
import { planningCases } from "./planning.ts";
import { shardModelCases } from "./shard-model.ts";
import { shardCases } from "./shards.ts";
import type { OpenStore } from "./store-under-test.ts";
import { uploadCases } from "./uploads.ts";
import { voidLeaseCases } from "./void-leases.ts";
import { webhookCases } from "./webhooks.ts";

const drivers: Record<string, OpenStore> = {
  "SQLite in memory": async () => {
    const clock = new FakeClock();
    const store = await openSqliteStore({ path: ":memory:", clock });
    onTestFinished(() => store.close());
    return { store, peer: store, clock };
  },

  "SQLite file": async () => {
    const folder = await mkdtemp(join(tmpdir(), "offpeak-store-"));
    const path = join(folder, "offpeak.db");
    const clock = new FakeClock();
    const store = await openSqliteStore({ path, clock });
    const peer = await openSqliteStore({ path, clock });
    onTestFinished(async () => {
      await peer.close();
      await store.close();
      await rm(folder, { recursive: true });
    });
    return { store, peer, clock };
  },
};

describe.each(Object.keys(drivers))("Store: %s", (driver) => {
  const open = drivers[driver]!;
  describe("files", () => {
    fileCases(open);
  });
  describe("uploads", () => {
    uploadCases(open);
  });
  describe("pages", () => {
    pagingCases(open);
  });
  describe("batches", () => {
    batchCases(open);
  });
  describe("finding", () => {
    findingCases(open);
  });
  describe("planning", () => {
    planningCases(open);
  });
  describe("ending", () => {
    endingCases(open);
  });
  describe("shards", () => {
    shardCases(open);
  });
  describe("demands", () => {
    demandCases(open);
  });
  describe("journals", () => {
    journalCases(open);
  });
  describe("any order of claims", () => {
    shardModelCases(open);
  });
  describe("voidLeases", () => {
    voidLeaseCases(open);
  });
  describe("models", () => {
    modelCases(open);
  });
  describe("limits", () => {
    limitCases(open);
  });
  describe("keys", () => {
    keyCases(open);
  });
  describe("idempotency", () => {
    idempotencyCases(open);
  });
  describe("webhooks", () => {
    webhookCases(open);
  });
  describe("deliveries", () => {
    deliveryCases(open);
  });
});
