// What a database must offer to the stores here; everything in which databases differ is behind it.
// A statement sees what is committed when it begins. So whoever judges a row before changing it locks it first
// (`forNoKeyUpdate`), and whoever judges rows that others may add locks a name (`lock`); SQLite's writers take turns.

import { sql } from "kysely";
import type { AliasedRawBuilder, Expression, Kysely, RawBuilder } from "kysely";
import type { Tables } from "./schema.ts";

/** What queries are made of and run on, inside one transaction. */
export type Tx = Kysely<Tables>;

export interface SqlDatabase {
  /** Where the data is, for messages. */
  readonly location: string;
  /** Column type of a number that grows with every row. */
  readonly sequenceType: string;
  /** Runs `work`, of which each statement may see another state of the data. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Runs `work`, which only reads, on one unchanging state of the data. */
  snapshot<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs `work` as one transaction, durable when this resolves; nothing is changed when `work`
   * throws. It may be run again after a conflict, or after the connection was lost.
   */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs `work`, which is one statement that may change something, and does no harm when it is run twice. Cheaper
   * than a transaction; durable when this resolves.
   */
  repeatable<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Until the transaction ends, no other one gets past its own `lock` of the same name. */
  lock(tx: Tx, name: string): Promise<void>;
  /** New rows of the table, whose `seq` is numbered, are numbered behind those that are there. */
  numberOn(tx: Tx, table: string): Promise<void>;
  /** The time that judges leases, epoch ms. */
  now(): Expression<number>;
  /** A list as a table `item` with one row for each element and the named columns: few parameters, whatever its length. */
  elements<Columns extends ElementColumns>(
    list: readonly ElementOf<Columns>[],
    columns: Columns,
  ): AliasedRawBuilder<ElementOf<Columns>, "item">;
  /** The text, or the column of that name, is one of these: one parameter, whatever their number. */
  isOneOf(text: string | RawBuilder<string>, texts: readonly string[]): RawBuilder<boolean>;
  /** A JSON object in a text column as a table with `key` and `value`, in the words of a statement. */
  members(column: string): string;
  close(): Promise<void>;
}

/** Names and kinds of the members that elements of a list have. Numbers are whole. */
export type ElementColumns = Readonly<Record<string, "text" | "number">>;

export type ElementOf<Columns extends ElementColumns> = {
  [name in keyof Columns]: Columns[name] extends "text" ? string : number;
};

/** A member of the current element of `elements`. */
export function ofElement<T extends string | number>(member: string): RawBuilder<T> {
  return sql.ref<T>(`item.${member}`);
}
