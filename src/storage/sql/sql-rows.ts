// The RowStore on any SQL database: pages along primary keys, and rows that are added together with the progress
// that was made, so that a move which is cut off anywhere goes on where it was.

import { sql } from "kysely";
import type { RawBuilder } from "kysely";
import type {
  MoveNote,
  RecordedBlob,
  RowPage,
  RowPosition,
  RowStore,
  StoredRow,
} from "../../core/row-store.ts";
import { ConflictError } from "../../core/store.ts";
import { type MovedTable, movedTables } from "./moved-tables.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

/** SQLite takes 32,766 values in a statement, and PostgreSQL 65,535. */
const VALUES_OF_STATEMENT = 10_000;
const BLOBS_OF_PAGE = 500;

/** `database` has the newest tables; who opened it closes it. */
export function sqlRows(database: SqlDatabase): RowStore {
  return {
    location: database.location,
    tables: [...movedTables.keys()],
    count: (table) => database.read((tx) => countRows(tx, table, movedTable(table).only)),
    page: (table, after, limit) => readPage(database, table, after, limit),
    blobs: (now) => recordedBlobs(database, now),

    note: () => database.read(readNote),

    begin: (note) =>
      database.write(async (tx) => {
        // Nodes that open the database take turns with this.
        await database.lock(tx, "schema");
        if (await readNote(tx)) throw new ConflictError(`${database.location} is being filled.`);
        await requireEmpty(database, tx);
        await tx
          .insertInto("migration")
          .values({ id: 1, ...note })
          .execute();
      }),

    add: (table, rows, progress) =>
      database.write(async (tx) => {
        const { generated = [] } = movedTable(table);
        const columns = Object.keys(rows[0] ?? {}).filter((column) => !generated.includes(column));
        const atOnce = Math.max(1, Math.floor(VALUES_OF_STATEMENT / columns.length));
        for (let at = 0; at < rows.length; at += atOnce) {
          await insertRows(tx, table, columns, rows.slice(at, at + atOnce));
        }
        await tx.updateTable("migration").set({ progress }).execute();
      }),

    finish: () =>
      database.write(async (tx) => {
        for (const [table, { isNumbered }] of movedTables) {
          if (isNumbered) await database.numberOn(tx, table);
        }
        await tx.deleteFrom("migration").execute();
      }),
  };
}

function movedTable(name: string): MovedTable {
  const table = movedTables.get(name);
  if (table === undefined) throw new RangeError(`${name} is no table that is moved.`);
  return table;
}

async function countRows(tx: Tx, table: string, only?: RawBuilder<boolean>): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from ${sql.table(table)} where ${only ?? sql`true`}`.execute(tx);
  return rows[0]!.count;
}

async function readNote(tx: Tx): Promise<MoveNote | undefined> {
  return tx.selectFrom("migration").select(["source", "progress"]).executeTakeFirst();
}

/** Takes away what the schema itself put in. Throws ConflictError, with what else is there. */
async function requireEmpty(database: SqlDatabase, tx: Tx): Promise<void> {
  const found: string[] = [];
  for (const [table, { isPrefilled }] of movedTables) {
    if (isPrefilled) await sql`delete from ${sql.table(table)}`.execute(tx);
    const count = await countRows(tx, table);
    if (count > 0) found.push(`${count} ${table.replaceAll("_", " ")}`);
  }
  if (found.length > 0) {
    throw new ConflictError(`${database.location} is not empty: it has ${found.join(", ")}.`);
  }
}

async function insertRows(
  tx: Tx,
  table: string,
  columns: readonly string[],
  rows: readonly StoredRow[],
): Promise<void> {
  const values = rows.map((row) => sql`(${sql.join(columns.map((column) => row[column]))})`);
  await sql`insert into ${sql.table(table)} (${sql.join(columns.map((column) => sql.ref(column)))})
    values ${sql.join(values)}`.execute(tx);
}

async function readPage(
  database: SqlDatabase,
  name: string,
  after: RowPosition | null,
  limit: number,
): Promise<RowPage> {
  const { key, only = sql`true`, asMoved = (row: StoredRow) => row } = movedTable(name);
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const isBehind = after === null ? sql`true` : sql`(${columns}) > (${sql.join(after)})`;
  const { rows } = await database.read((tx) =>
    sql<StoredRow>`select * from ${sql.table(name)} where ${only} and ${isBehind}
      order by ${columns} limit ${sql.lit(limit)}`.execute(tx),
  );
  const last = rows.length < limit ? undefined : rows.at(-1);
  const page: RowPage = {
    rows: [],
    substituted: 0,
    next: last ? key.map((column) => last[column]!) : null,
  };
  for (const row of rows) {
    const plain = withoutNul(row);
    if (plain !== row) page.substituted += 1;
    page.rows.push(asMoved(plain));
  }
  return page;
}

/** The same row when it has none. */
function withoutNul(row: StoredRow): StoredRow {
  const hasNul = (value: unknown) => typeof value === "string" && value.includes("\0");
  if (!Object.values(row).some(hasNul)) return row;
  const entries = Object.entries(row).map(([column, value]) => [
    column,
    typeof value === "string" ? value.replaceAll("\0", "\uFFFD") : value,
  ]);
  return Object.fromEntries(entries) as StoredRow;
}

async function* recordedBlobs(database: SqlDatabase, now: number): AsyncGenerator<RecordedBlob> {
  // A file as in FileStore.listReclaimable, a part as in UploadStore.listUnswept.
  yield* blobPages<number>(
    database,
    0,
    (after) =>
      sql`select files.seq as position, files.blob_key, files.size_bytes, files.sha256,
        files.id as what, files.filename as label,
        case when files.visible_until is null or files.visible_until > ${now} or exists (
          select 1 from batches where batches.input_file_id = files.id and batches.ended = 0
        ) then 1 else 0 end as is_needed
      from files where files.reclaimed = 0 and files.seq > ${after}
      order by files.seq limit ${sql.lit(BLOBS_OF_PAGE)}`,
  );
  yield* blobPages<string>(
    database,
    "",
    (after) =>
      sql`select upload_parts.id as position, upload_parts.blob_key, upload_parts.size_bytes,
        upload_parts.sha256, upload_parts.id as what, uploads.filename as label,
        case when uploads.open_until > ${now} then 1 else 0 end as is_needed
      from upload_parts join uploads on uploads.id = upload_parts.upload_id
      where uploads.swept = 0 and upload_parts.id > ${after}
      order by upload_parts.id limit ${sql.lit(BLOBS_OF_PAGE)}`,
  );
}

async function* blobPages<Position extends string | number>(
  database: SqlDatabase,
  first: Position,
  query: (after: Position) => RawBuilder<unknown>,
): AsyncGenerator<RecordedBlob> {
  for (let after = first; ;) {
    const page = query(after) as RawBuilder<{
      position: Position;
      blob_key: string;
      size_bytes: number;
      sha256: string | null;
      what: string;
      label: string;
      is_needed: number;
    }>;
    const { rows } = await database.read((tx) => page.execute(tx));
    for (const row of rows) {
      yield {
        key: row.blob_key,
        name: `${row.what} (${row.label})`,
        sizeBytes: row.size_bytes,
        sha256: row.sha256,
        isNeeded: row.is_needed === 1,
      };
    }
    if (rows.length < BLOBS_OF_PAGE) return;
    after = rows.at(-1)!.position;
  }
}
