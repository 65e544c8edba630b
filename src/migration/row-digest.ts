// What a table holds, as one number: the sum over the SHA-256 of its rows. It is the same in whatever order a
// database gives them, for databases order text differently.

import { hash } from "node:crypto";
import type { RowPosition, RowStore, StoredRow } from "../core/row-store.ts";

export interface TableDigest {
  rows: number;
  /** In hex. */
  sum: string;
  /** Rows in which U+FFFD stands for NUL. */
  substituted: number;
}

export type Digests = ReadonlyMap<string, TableDigest>;

export const ROWS_OF_PAGE = 250;
const MODULUS_BITS = 256;

/** Reads all that is to be moved. Throws when a table has other rows than it counts. */
export async function digestRows(
  rows: RowStore,
  onRows: (table: string, rows: number) => void,
): Promise<Digests> {
  const digests = new Map<string, TableDigest>();
  for (const table of rows.tables) {
    const digest = await digestTable(rows, table, (count) => onRows(table, count));
    const counted = await rows.count(table);
    if (digest.rows !== counted) {
      throw new Error(
        `${rows.location}: the table ${table} has ${counted} rows, but ${digest.rows} can be read one after the other. ` +
          "Something else writes to it, or it is damaged.",
      );
    }
    digests.set(table, digest);
  }
  return digests;
}

async function digestTable(
  rows: RowStore,
  table: string,
  onRows: (rows: number) => void,
): Promise<TableDigest> {
  const digest: TableDigest = { rows: 0, sum: "", substituted: 0 };
  let sum = 0n;
  let after: RowPosition | null = null;
  do {
    const page = await rows.page(table, after, ROWS_OF_PAGE);
    for (const row of page.rows) sum += digestOf(row);
    digest.rows += page.rows.length;
    digest.substituted += page.substituted;
    onRows(page.rows.length);
    after = page.next;
  } while (after !== null);
  digest.sum = BigInt.asUintN(MODULUS_BITS, sum).toString(16);
  return digest;
}

/** Columns in the order of their names: tables that were made by different versions may have them in others. */
function digestOf(row: StoredRow): bigint {
  const columns = Object.keys(row).toSorted();
  const text = JSON.stringify(columns.map((column) => [column, row[column]]));
  return BigInt(`0x${hash("sha256", text, "hex")}`);
}

/** Tables of which the two differ. */
export function differing(one: Digests, other: Digests): string[] {
  const tables = new Set([...one.keys(), ...other.keys()]);
  return [...tables].filter((table) => {
    const [here, there] = [one.get(table), other.get(table)];
    return here?.rows !== there?.rows || here?.sum !== there?.sum;
  });
}
