// The tables as the newest migration leaves them, typed for Kysely. Times are epoch milliseconds,
// flags are 0 or 1, JSON is text. `seq` is the order of creation, in which lists are paged.

import type { Generated, GeneratedAlways, Selectable } from "kysely";
import type { BatchStatus, Ending } from "../../core/batch.ts";
import type { FilePurpose } from "../../core/file.ts";

export interface Tables {
  schema_version: { version: number };
  files: FilesTable;
  batches: BatchesTable;
  batch_counts: { status: BatchStatus; batches: number };
  batch_models: { batch_id: string; model: string };
  shards: ShardsTable;
  journals: { shard_id: string; epoch: number; accepted_bytes: number | null };
  upstream_models: { upstream: string; models: string; discovered_at: number };
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
}

export type FileRow = Selectable<FilesTable>;
export type BatchRow = Selectable<BatchesTable>;
