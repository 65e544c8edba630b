// Version 3: the nodes that share a database, which of them runs the request of an Idempotency-Key, journals only once
// they are sealed, and the note of a move of all data into the database that has not been finished.

import type { SqlDatabase } from "./sql-database.ts";

export function schemaVersion3(_database: SqlDatabase): readonly string[] {
  return [
    `create table nodes (
      id text not null primary key,
      role text not null,
      started_at bigint not null,
      lives_until bigint not null,
      wants_alone text not null,
      empty_for text not null,
      lanes text not null
    )`,

    `alter table idempotency_keys add column node_id text`,

    // Only seals are noted: that there is a journal follows from the epoch of its shard.
    `delete from journals where accepted_bytes is null`,

    `create table migration (
      id integer not null primary key check (id = 1),
      source text not null,
      progress text not null
    )`,
  ];
}
