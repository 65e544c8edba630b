// Copies all rows, table by table in pages; each is added in one step with how far that is, so that a copy which
// was cut off goes on behind the last page that is there.

import type { RowPosition, RowStore } from "../core/row-store.ts";
import { ROWS_OF_PAGE } from "./row-digest.ts";

/** Where it goes on: in this table, behind that row. A null table: all rows are there. */
export interface CopyPosition {
  table: string | null;
  after: RowPosition | null;
}

export function firstPosition({ tables }: RowStore): CopyPosition {
  return { table: tables[0] ?? null, after: null };
}

/** The tables before `from` are there already, and so are the rows of its own up to its position. */
export async function copyRows(
  source: RowStore,
  target: RowStore,
  from: CopyPosition,
  onRows: (table: string, rows: number) => void,
): Promise<void> {
  if (from.table === null) return;
  const first = source.tables.indexOf(from.table);
  for (const [at, table] of source.tables.entries()) {
    if (at < first) continue;
    let after = at === first ? from.after : null;
    do {
      const page = await source.page(table, after, ROWS_OF_PAGE);
      const behind: CopyPosition =
        page.next === null
          ? { table: source.tables[at + 1] ?? null, after: null }
          : { table, after: page.next };
      await target.add(table, page.rows, JSON.stringify(behind));
      onRows(table, page.rows.length);
      after = page.next;
    } while (after !== null);
  }
}
