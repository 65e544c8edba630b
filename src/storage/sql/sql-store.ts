// The Store on any SQL database: the stores of the nouns, put together.

import type { Store } from "../../core/store.ts";
import { batchClaims } from "./batch-claims.ts";
import { batchLifecycle } from "./batch-lifecycle.ts";
import { batchQueries } from "./batch-queries.ts";
import { deliveryStore, voidDeliveryClaims } from "./delivery-store.ts";
import { fileStore } from "./file-store.ts";
import { forgetRunning, idempotencyStore } from "./idempotency-store.ts";
import { keyStore } from "./key-store.ts";
import { givenBack } from "./lease.ts";
import { requireWhole } from "./migrations.ts";
import { modelStore } from "./model-store.ts";
import { nodeStore } from "./node-store.ts";
import { shardStore } from "./shard-store.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { uploadStore } from "./upload-store.ts";
import { webhookStore } from "./webhook-store.ts";

/**
 * The Store on `database`, which is migrated. Throws UnfinishedMigrationError, and closes the database, when a move
 * into it has not been finished.
 */
export async function wholeStore(database: SqlDatabase): Promise<Store> {
  try {
    await requireWhole(database);
  } catch (error) {
    await database.close();
    throw error;
  }
  return sqlStore(database);
}

/** `database` is migrated; closing the store closes it. */
export function sqlStore(database: SqlDatabase): Store {
  return {
    files: fileStore(database),
    uploads: uploadStore(database),
    batches: {
      ...batchQueries(database),
      ...batchClaims(database),
      ...batchLifecycle(database),
    },
    shards: shardStore(database),
    models: modelStore(database),
    keys: keyStore(database),
    idempotency: idempotencyStore(database),
    nodes: nodeStore(database),
    webhooks: { ...webhookStore(database), ...deliveryStore(database) },

    voidLeases: () =>
      database.write(async (tx) => {
        for (const table of ["batches", "shards"] as const) {
          await tx.updateTable(table).set(givenBack).where("lease_owner", "is not", null).execute();
        }
        await forgetRunning(tx);
        await voidDeliveryClaims(tx);
      }),

    voidLeasesOf: (owner) =>
      database.write(async (tx) => {
        for (const table of ["batches", "shards"] as const) {
          await tx.updateTable(table).set(givenBack).where("lease_owner", "=", owner).execute();
        }
      }),

    close: () => database.close(),
  };
}
