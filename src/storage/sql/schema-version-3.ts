// Version 3: the nodes that share a database, which of them runs the request of an Idempotency-Key, the seals of
// journals with their shards, and the note of a move of all data into the database that has not been finished.

import type { SqlDatabase } from "./sql-database.ts";

export function schemaVersion3(_database: SqlDatabase): readonly string[] {
  return [
    `create table nodes (
      id text not null primary key,
      role text not null,
      started_at bigint not null,
      host text not null,
      secret_key_id text not null,
      lives_until bigint not null,
      wants_alone text not null,
      empty_for text not null,
      lanes text not null
    )`,

    `alter table idempotency_keys add column node_id text`,

    // A shard has its seals itself, and that there is a journal follows from its epoch.
    `alter table shards add column seals text not null default ''`,
    `update shards set seals = coalesce((
      select string_agg(' ' || journals.epoch || ':' || journals.accepted_bytes, '') from journals
      where journals.shard_id = shards.id and journals.accepted_bytes is not null), '')`,
    `drop table journals`,

    `create table migration (
      id integer not null primary key check (id = 1),
      source text not null,
      progress text not null
    )`,
  ];
}
