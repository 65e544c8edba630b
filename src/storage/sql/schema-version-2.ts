// Version 2: uploads in parts, API keys, idempotency keys, webhooks with their outbox, limits of
// projects, and what batches are found by. As in version 1, partial indexes hold what needs work.

import type { SqlDatabase } from "./sql-database.ts";

export function schemaVersion2(database: SqlDatabase): readonly string[] {
  return [
    `create index files_visible on files (project_id, visible_until, size_bytes) where reclaimed = 0`,

    `alter table batches add column prompt_tokens bigint not null default 0`,
    `create index batches_by_creation on batches (project_id, created_at, seq)`,
    `create index batches_by_status on batches (project_id, status, seq)`,
    `create index batches_queued on batches (project_id) where ended = 0`,

    `create table batch_metadata (
      project_id text not null,
      key text not null,
      value text not null,
      batch_seq bigint not null references batches (seq),
      primary key (project_id, key, value, batch_seq)
    )`,
    `insert into batch_metadata (project_id, key, value, batch_seq)
      select batches.project_id, member.key, member.value, batches.seq
      from batches cross join ${database.members("batches.metadata")} as member
      where batches.metadata is not null`,

    `create table batch_model_names (
      project_id text not null,
      model text not null,
      batch_seq bigint not null references batches (seq),
      requested integer not null,
      primary key (project_id, model, batch_seq)
    )`,
    `insert into batch_model_names (project_id, model, batch_seq, requested)
      select distinct batches.project_id, shards.requested_model, batches.seq, 1
      from shards join batches on batches.id = shards.batch_id
      where shards.requested_model <> ''`,
    `insert into batch_model_names (project_id, model, batch_seq, requested)
      select project_id, model, seq, 0 from batches where model is not null
      on conflict do nothing`,

    `create table uploads (
      id text not null primary key,
      project_id text not null,
      filename text not null,
      purpose text not null,
      mime_type text not null,
      size_bytes bigint not null,
      file_expires_after_seconds bigint,
      status text not null,
      created_at bigint not null,
      expires_at bigint not null,
      file_id text,
      part_ids text,
      part_bytes bigint not null default 0,
      open_until bigint not null,
      swept integer not null default 0
    )`,
    `create index uploads_open on uploads (project_id, open_until, part_bytes) where swept = 0`,
    `create index uploads_to_sweep on uploads (open_until) where swept = 0`,

    `create table upload_parts (
      id text not null primary key,
      upload_id text not null references uploads (id),
      size_bytes bigint not null,
      sha256 text not null,
      blob_key text not null,
      created_at bigint not null
    )`,
    `create index upload_parts_by_upload on upload_parts (upload_id)`,

    `create table api_keys (
      seq ${database.sequenceType},
      id text not null unique,
      project_id text not null,
      secret_hash text not null,
      created_at bigint not null,
      last_used_at bigint,
      revoked_at bigint
    )`,

    `create table idempotency_keys (
      project_id text not null,
      key text not null,
      route text not null,
      begun_at bigint not null,
      fingerprint text,
      object_id text,
      primary key (project_id, key)
    )`,
    `create index idempotency_keys_by_age on idempotency_keys (begun_at)`,
    `create index idempotency_keys_running on idempotency_keys (begun_at) where object_id is null`,

    `create table webhooks (
      seq ${database.sequenceType},
      id text not null unique,
      project_id text not null,
      name text not null,
      url text not null,
      events text not null,
      created_at bigint not null,
      updated_at bigint not null,
      sealed_secret text not null,
      secret_hint text not null,
      previous_sealed_secret text,
      previous_secret_until bigint
    )`,
    `create index webhooks_by_project on webhooks (project_id, seq)`,

    `create table webhook_deliveries (
      seq ${database.sequenceType},
      id text not null unique,
      webhook_id text not null references webhooks (id) on delete cascade,
      event_id text not null,
      event_type text not null,
      object_id text not null,
      created_at bigint not null,
      attempts bigint not null default 0,
      claimed integer not null default 0,
      next_attempt_at bigint,
      delivered_at bigint,
      last_attempt_at bigint,
      last_status bigint,
      last_error text
    )`,
    `create index webhook_deliveries_by_webhook on webhook_deliveries (webhook_id, seq)`,
    `create index webhook_deliveries_due on webhook_deliveries (next_attempt_at, seq)
      where next_attempt_at is not null`,
    `create index webhook_deliveries_claimed on webhook_deliveries (seq) where claimed = 1`,
    `create index webhook_deliveries_to_sweep on webhook_deliveries (last_attempt_at)
      where next_attempt_at is null`,
  ];
}
