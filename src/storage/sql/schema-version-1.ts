// Version 1 of the tables. The partial indexes hold only what still needs work, so that looking for
// work costs the same however much has been done. Queries must repeat their conditions literally.

import type { SqlDatabase } from "./sql-database.ts";

const leaseColumns = `
  epoch bigint not null default 0,
  lease_owner text,
  lease_expires_at bigint`;

const figureColumns = `
  completed bigint not null default 0,
  failed bigint not null default 0,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  total_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0`;

export function schemaVersion1({ sequenceType }: SqlDatabase): readonly string[] {
  return [
    `create table files (
      seq ${sequenceType},
      id text not null unique,
      project_id text not null,
      purpose text not null,
      filename text not null,
      size_bytes bigint not null,
      sha256 text,
      blob_key text not null,
      created_at bigint not null,
      expires_at bigint,
      visible_until bigint,
      reclaimed integer not null default 0
    )`,
    `create index files_by_project on files (project_id, seq) where reclaimed = 0`,
    `create index files_by_purpose on files (project_id, purpose, seq) where reclaimed = 0`,
    `create index files_to_reclaim on files (visible_until) where reclaimed = 0`,

    `create table batches (
      seq ${sequenceType},
      id text not null unique,
      project_id text not null,
      endpoint text not null,
      completion_window text not null,
      input_file_id text not null,
      metadata text,
      output_expires_after_seconds bigint,
      status text not null,
      ending text,
      ended integer not null generated always as (
        case when status in ('failed', 'completed', 'expired', 'cancelled') then 1 else 0 end
      ) stored,
      swept integer not null default 0,
      model text,
      errors text,
      output_file_id text,
      error_file_id text,
      created_at bigint not null,
      in_progress_at bigint,
      expires_at bigint not null,
      finalizing_at bigint,
      completed_at bigint,
      failed_at bigint,
      expired_at bigint,
      cancelling_at bigint,
      cancelled_at bigint,
      total bigint not null default 0,
      planning_started_at bigint,
      plan_key text,
      waiting_reason text,
      open_shards bigint not null default 0,${figureColumns},${leaseColumns}
    )`,
    `create index batches_by_project on batches (project_id, seq)`,
    `create index batches_by_input on batches (input_file_id) where ended = 0`,
    `create index batches_to_plan on batches (seq) where status = 'validating'`,
    `create index batches_to_run on batches (seq) where status = 'in_progress' and ending is null`,
    `create index batches_to_expire on batches (expires_at) where status = 'in_progress' and ending is null`,
    `create index batches_to_assemble on batches (seq) where ending is not null and ended = 0`,
    `create index batches_to_sweep on batches (seq) where ended = 1 and swept = 0`,
    `create index batches_claimed on batches (lease_owner) where lease_owner is not null`,

    `create table batch_counts (status text primary key, batches bigint not null)`,
    `insert into batch_counts (status, batches) values
      ('validating', 0), ('failed', 0), ('in_progress', 0), ('finalizing', 0),
      ('completed', 0), ('expired', 0), ('cancelling', 0), ('cancelled', 0)`,

    `create table batch_models (
      batch_id text not null references batches (id),
      model text not null,
      primary key (batch_id, model)
    )`,

    `create table shards (
      id text not null primary key,
      batch_id text not null references batches (id),
      project_id text not null,
      model text not null,
      requested_model text not null,
      first_entry bigint not null,
      entry_count bigint not null,
      done integer not null default 0,${figureColumns},${leaseColumns}
    )`,
    `create index shards_by_batch on shards (batch_id, done, first_entry)`,
    `create index shards_claimed on shards (batch_id) where lease_owner is not null`,

    `create table journals (
      shard_id text not null references shards (id) on delete cascade,
      epoch bigint not null,
      accepted_bytes bigint,
      primary key (shard_id, epoch)
    )`,

    `create table upstream_models (
      upstream text not null primary key,
      models text not null,
      discovered_at bigint not null
    )`,
  ];
}
