// Which tables are moved to another database, and how. The only list of them: in the order in which they may be
// filled, and complete, for a table of schema.ts that is missing here does not compile.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import type { StoredRow } from "../../core/row-store.ts";
import { givenBack } from "./lease.ts";
import type { Tables } from "./schema.ts";

export interface MovedTable {
  /** The columns of its primary key. */
  key: readonly string[];
  /** `seq` numbers its rows. */
  isNumbered?: true;
  /** Columns that the database works out. */
  generated?: readonly string[];
  /** Rows that are moved; all when left out. */
  only?: RawBuilder<boolean>;
  /** A row as the other database is to have it. */
  asMoved?: (row: StoredRow) => StoredRow;
  /** The schema fills it: what is there makes no database less empty, and goes before rows are added. */
  isPrefilled?: true;
}

const withoutLease = (row: StoredRow): StoredRow => ({ ...row, ...givenBack });

/** Null: it says something of this database, not of the data. */
const tables: Readonly<Record<keyof Tables, MovedTable | null>> = {
  schema_version: null,
  migration: null,
  nodes: null,
  files: { key: ["seq"], isNumbered: true },
  batches: { key: ["seq"], isNumbered: true, generated: ["ended"], asMoved: withoutLease },
  batch_counts: { key: ["status"], isPrefilled: true },
  batch_models: { key: ["batch_id", "model"] },
  shards: { key: ["id"], asMoved: withoutLease },
  upstream_models: { key: ["upstream"] },
  batch_metadata: { key: ["project_id", "key", "value", "batch_seq"] },
  batch_model_names: { key: ["project_id", "model", "batch_seq"] },
  uploads: { key: ["id"] },
  upload_parts: { key: ["id"] },
  api_keys: { key: ["seq"], isNumbered: true },
  // A request that runs under a key is over once its server has stopped.
  idempotency_keys: { key: ["project_id", "key"], only: sql<boolean>`object_id is not null` },
  webhooks: { key: ["seq"], isNumbered: true },
  webhook_deliveries: {
    key: ["seq"],
    isNumbered: true,
    // As voidDeliveryClaims does it.
    asMoved: (row) =>
      row["claimed"] === 1 ? { ...row, claimed: 0, next_attempt_at: row["created_at"]! } : row,
  },
};

export const movedTables: ReadonlyMap<string, MovedTable> = new Map(
  Object.entries(tables).filter((entry): entry is [string, MovedTable] => entry[1] !== null),
);
