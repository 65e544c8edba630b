// The tables as the newest migration leaves them, typed for Kysely. Times are epoch milliseconds,
// flags are 0 or 1, JSON is text. `seq` is the order of creation, in which lists are paged.

import type { Generated, GeneratedAlways, Selectable } from "kysely";
import type { BatchStatus, Ending } from "../../core/batch.ts";
import type { FilePurpose, UploadPurpose } from "../../core/file.ts";
import type { NodeRole } from "../../core/node-store.ts";
import type { Upload } from "../../core/upload.ts";

export interface Tables {
  schema_version: { version: number };
  files: FilesTable;
  batches: BatchesTable;
  batch_counts: { status: BatchStatus; batches: number };
  batch_models: { batch_id: string; model: string };
  shards: ShardsTable;
  upstream_models: { upstream: string; models: string; discovered_at: number };
  batch_metadata: { project_id: string; key: string; value: string; batch_seq: number };
  batch_model_names: BatchModelNamesTable;
  uploads: UploadsTable;
  upload_parts: UploadPartsTable;
  api_keys: ApiKeysTable;
  idempotency_keys: IdempotencyKeysTable;
  webhooks: WebhooksTable;
  webhook_deliveries: WebhookDeliveriesTable;
  nodes: NodesTable;
  migration: MigrationTable;
}

interface FilesTable {
  seq: GeneratedAlways<number>;
  id: string;
  project_id: string;
  purpose: FilePurpose;
  filename: string;
  size_bytes: number;
  sha256: string | null;
  blob_key: string;
  created_at: number;
  expires_at: number | null;
  /** Null: always; otherwise the expiry, or 0 once deleted. */
  visible_until: number | null;
  /** 1: the bytes are gone. */
  reclaimed: Generated<number>;
}

/** A claim exists while there is an owner, even after the lease is over, until another takes it. */
interface LeaseColumns {
  epoch: Generated<number>;
  lease_owner: Generated<string | null>;
  lease_expires_at: Generated<number | null>;
}

export interface UsageColumns {
  input_tokens: Generated<number>;
  output_tokens: Generated<number>;
  total_tokens: Generated<number>;
  cached_tokens: Generated<number>;
  reasoning_tokens: Generated<number>;
}

interface BatchesTable extends LeaseColumns, UsageColumns {
  seq: GeneratedAlways<number>;
  id: string;
  project_id: string;
  endpoint: string;
  completion_window: string;
  input_file_id: string;
  metadata: string | null;
  output_expires_after_seconds: number | null;
  status: BatchStatus;
  ending: Generated<Ending | null>;
  /** 1: the status is one that nothing follows. */
  ended: GeneratedAlways<number>;
  swept: Generated<number>;
  model: Generated<string | null>;
  errors: Generated<string | null>;
  output_file_id: Generated<string | null>;
  error_file_id: Generated<string | null>;
  created_at: number;
  in_progress_at: Generated<number | null>;
  expires_at: number;
  finalizing_at: Generated<number | null>;
  completed_at: Generated<number | null>;
  failed_at: Generated<number | null>;
  expired_at: Generated<number | null>;
  cancelling_at: Generated<number | null>;
  cancelled_at: Generated<number | null>;
  total: Generated<number>;
  /** Counts and usage are those of the shards until the batch has ended. */
  completed: Generated<number>;
  failed: Generated<number>;
  planning_started_at: Generated<number | null>;
  plan_key: Generated<string | null>;
  waiting_reason: Generated<string | null>;
  /** Shards that are not done. */
  open_shards: Generated<number>;
  /** As estimated when it was planned; 0 if it was planned by a version that did not estimate. */
  prompt_tokens: Generated<number>;
}

/** The models by which a batch is found, for ever: those its lines name, and the one it shows. */
interface BatchModelNamesTable {
  project_id: string;
  model: string;
  batch_seq: number;
  /** 1: a line names it; 0: it is only shown. */
  requested: number;
}

interface ShardsTable extends LeaseColumns, UsageColumns {
  id: string;
  batch_id: string;
  project_id: string;
  model: string;
  requested_model: string;
  first_entry: number;
  entry_count: number;
  done: Generated<number>;
  completed: Generated<number>;
  failed: Generated<number>;
  /** Of its journals: " epoch:bytes" for each. */
  seals: Generated<string>;
}

interface UploadsTable {
  id: string;
  project_id: string;
  filename: string;
  purpose: UploadPurpose;
  mime_type: string;
  size_bytes: number;
  file_expires_after_seconds: number | null;
  status: Upload["status"];
  created_at: number;
  expires_at: number;
  file_id: Generated<string | null>;
  part_ids: Generated<string | null>;
  /** The sum over its parts. */
  part_bytes: Generated<number>;
  /** The expiry while it is pending, then 0. */
  open_until: number;
  /** 1: the parts are gone. */
  swept: Generated<number>;
}

interface UploadPartsTable {
  id: string;
  upload_id: string;
  size_bytes: number;
  sha256: string;
  blob_key: string;
  created_at: number;
}

interface ApiKeysTable {
  seq: GeneratedAlways<number>;
  id: string;
  project_id: string;
  secret_hash: string;
  created_at: number;
  last_used_at: number | null;
  revoked_at: number | null;
}

interface IdempotencyKeysTable {
  project_id: string;
  key: string;
  route: string;
  begun_at: number;
  /** Null, as is the object, while a request runs under the key. */
  fingerprint: Generated<string | null>;
  object_id: Generated<string | null>;
  /** The node that runs it, where several share the database. */
  node_id: Generated<string | null>;
}

interface WebhooksTable {
  seq: GeneratedAlways<number>;
  id: string;
  project_id: string;
  name: string;
  url: string;
  events: string;
  created_at: number;
  updated_at: number;
  sealed_secret: string;
  secret_hint: string;
  previous_sealed_secret: string | null;
  previous_secret_until: number | null;
}

interface WebhookDeliveriesTable {
  seq: GeneratedAlways<number>;
  id: string;
  webhook_id: string;
  event_id: string;
  event_type: string;
  object_id: string;
  created_at: number;
  attempts: Generated<number>;
  /** 1: an attempt has begun and nobody said what became of it. */
  claimed: Generated<number>;
  next_attempt_at: number | null;
  delivered_at: Generated<number | null>;
  last_attempt_at: Generated<number | null>;
  last_status: Generated<number | null>;
  last_error: Generated<string | null>;
}

interface NodesTable {
  id: string;
  role: NodeRole;
  started_at: number;
  host: string;
  secret_key_id: string;
  /** It is taken for dead from then on. */
  lives_until: number;
  wants_alone: string;
  empty_for: string;
  lanes: string;
}

/** At most one row: while a move of all data into this database has not been finished. */
interface MigrationTable {
  id: 1;
  source: string;
  progress: string;
}

export type FileRow = Selectable<FilesTable>;
export type BatchRow = Selectable<BatchesTable>;
export type ShardRow = Selectable<ShardsTable>;
export type UploadRow = Selectable<UploadsTable>;
export type UploadPartRow = Selectable<UploadPartsTable>;
export type ApiKeyRow = Selectable<ApiKeysTable>;
export type WebhookRow = Selectable<WebhooksTable>;
export type WebhookDeliveryRow = Selectable<WebhookDeliveriesTable>;
export type NodeRow = Selectable<NodesTable>;
