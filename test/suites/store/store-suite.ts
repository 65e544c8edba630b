// All that every driver of the Store is held to.

import { describe } from "vitest";
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
import { nodeCases } from "./nodes.ts";
import { pagingCases } from "./paging.ts";
import { planningCases } from "./planning.ts";
import { shardModelCases } from "./shard-model.ts";
import { shardCases } from "./shards.ts";
import type { OpenStore } from "./store-under-test.ts";
import { uploadCases } from "./uploads.ts";
import { voidLeaseCases } from "./void-leases.ts";
import { webhookCases } from "./webhooks.ts";

export function storeSuite(driver: string, open: OpenStore): void {
  describe(`Store: ${driver}`, () => {
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
    describe("nodes", () => {
      nodeCases(open);
    });
    describe("deliveries", () => {
      deliveryCases(open);
    });
  });
}
