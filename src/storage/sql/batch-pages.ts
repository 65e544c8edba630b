// Pages of batches under conditions. The table whose condition fewest batches meet leads: its index has
// them in the order of the list, so that a page costs little, however many batches there are.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import type { BatchQuery, Page } from "../../core/store.ts";
import { cursorPosition, toPage } from "./paging.ts";
import type { BatchRow } from "./schema.ts";
import type { Tx } from "./sql-database.ts";

/** From here on it does not matter how many batches meet a condition. */
const MANY = 1_000;

/** A table that has at most one row for a batch, with what must be true of that row. */
interface Source {
  table: RawBuilder<unknown>;
  seq: RawBuilder<number>;
  conditions: RawBuilder<unknown>[];
}

/** Newest first. Throws NotFoundError when `after` names no batch of the project. */
export async function selectPage(
  tx: Tx,
  projectId: string,
  query: BatchQuery,
): Promise<Page<BatchRow>> {
  const { after, limit, createdFrom = 0 } = query;
  const newest =
    after === undefined
      ? Number.MAX_SAFE_INTEGER
      : (await cursorPosition(tx, "batches", projectId, after)) - 1;
  // Without an oldest one, a page that is not full would be looked for in all that is older.
  const oldest =
    createdFrom === 0
      ? sql`0`
      : sql`(select min(seq) from batches
          where project_id = ${projectId} and created_at >= ${createdFrom})`;
  const [leader, ...others] = await rarestFirst(tx, sourcesOf(projectId, query));
  const { seq } = leader!;
  const conditions = [
    ...leader!.conditions,
    ...others.flatMap((other) => [...other.conditions, sql`${other.seq} = ${seq}`]),
    sql`${seq} between ${oldest} and ${newest}`,
    sql`batches.created_at >= ${createdFrom}`,
  ];
  // SQLite takes the tables of a cross join in the order in which they are written.
  const tables = [leader!, ...others].map(({ table }) => table);
  const { rows } = await sql<BatchRow>`
    select batches.* from ${sql.join(tables, sql` cross join `)}
    where ${sql.join(conditions, sql` and `)}
    order by ${seq} desc limit ${sql.lit(limit + 1)}`.execute(tx);
  return toPage(rows, limit);
}

function sourcesOf(projectId: string, { status, model, metadata = {} }: BatchQuery): Source[] {
  const ofProject = { project_id: projectId };
  const pairs = Object.entries(metadata).map(([key, value], index) =>
    source("batch_metadata", `pair_${index}`, "batch_seq", { ...ofProject, key, value }),
  );
  const names =
    model === undefined
      ? []
      : [source("batch_model_names", "name", "batch_seq", { ...ofProject, model })];
  const batches = source("batches", "batches", "seq", {
    ...ofProject,
    ...(status !== undefined && { status }),
  });
  return [...pairs, ...names, batches];
}

function source(
  table: "batches" | "batch_model_names" | "batch_metadata",
  alias: string,
  seq: "seq" | "batch_seq",
  columns: Record<string, string>,
): Source {
  return {
    table: sql`${sql.table(table)} as ${sql.ref(alias)}`,
    seq: sql.ref(`${alias}.${seq}`),
    conditions: Object.entries(columns).map(
      ([column, value]) => sql`${sql.ref(`${alias}.${column}`)} = ${value}`,
    ),
  };
}

async function rarestFirst(tx: Tx, sources: readonly Source[]): Promise<readonly Source[]> {
  if (sources.length === 1) return sources;
  const counted: { source: Source; batches: number }[] = [];
  for (const candidate of sources) {
    const { rows } = await sql<{ batches: number }>`
      select count(*) as batches from (
        select 1 from ${candidate.table}
        where ${sql.join(candidate.conditions, sql` and `)} limit ${sql.lit(MANY)}
      ) as met`.execute(tx);
    counted.push({ source: candidate, batches: rows[0]!.batches });
  }
  return counted.toSorted((a, b) => a.batches - b.batches).map((entry) => entry.source);
}
