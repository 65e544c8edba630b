// The Store: everything that must be known about files, batches and shards, and who owns which
// piece of work. The bytes themselves are in the BlobStore. Every driver keeps each sentence here;
// test/suites/store holds them to it.
//
// Promises of all methods: a returned record is a copy; a change is durable when its promise
// resolves; every change of state is a compare-and-set, so two racing callers never both succeed.
// Leases are judged by the Store's own clock; all other times are the caller's (epoch ms).

import type {
  Batch,
  BatchStatus,
  Ending,
  NewBatch,
  RequestCounts,
  ValidationError,
} from "./batch.ts";
import type { FilePurpose, StoredFile } from "./file.ts";
import type { IdempotencyStore, IdempotentRequest } from "./idempotency-store.ts";
import type { KeyStore } from "./key-store.ts";
import type { NodeStore } from "./node-store.ts";
import type { ShardStore } from "./shard-store.ts";
import type { UploadStore } from "./upload-store.ts";
import type { Usage } from "./usage.ts";
import type { WebhookStore } from "./webhook-store.ts";

/** The thing named does not exist, is hidden, or belongs to another project. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

/** The thing exists already, or is not in the state the change starts from. Nothing was changed. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
}

/** The caller's epoch is no longer the current one: another owner has taken over. Nothing was changed. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
}

/** There is no room left for it, in the database or the BlobStore. Nothing was changed. */
export class StorageFullError extends Error {
  override readonly name = "StorageFullError";
}

/**
 * The database or the BlobStore can't be reached at present, or was lost at the end of a change: then it is
 * not known whether it was made.
 */
export class StorageUnavailableError extends Error {
  override readonly name = "StorageUnavailableError";
}

export type LimitName =
  | "stored-bytes"
  | "webhooks"
  | "part-bytes"
  | "batches-per-hour"
  | "queued-lines"
  | "queued-prompt-tokens";

/** A limit of the project would be exceeded. Nothing was changed. */
export class LimitExceededError extends Error {
  override readonly name = "LimitExceededError";
  readonly limit: LimitName;
  readonly allowed: number;

  constructor(limit: LimitName, allowed: number) {
    super(`The limit of ${allowed} ${limit.replaceAll("-", " ")} would be exceeded.`);
    this.limit = limit;
    this.allowed = allowed;
  }
}

export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

export interface Store {
  readonly files: FileStore;
  readonly uploads: UploadStore;
  readonly batches: BatchStore;
  readonly shards: ShardStore;
  readonly models: ModelStore;
  readonly keys: KeyStore;
  readonly idempotency: IdempotencyStore;
  readonly webhooks: WebhookStore;
  readonly nodes: NodeStore;
  /**
   * Embedded only: ends all leases, requests under an Idempotency-Key and claims of deliveries at once.
   * The caller holds the data directory's lock, so their owners are dead.
   */
  voidLeases(): Promise<void>;
  /** Ends the leases of one owner at once; those of others last. The caller knows that it is dead. */
  voidLeasesOf(owner: string): Promise<void>;
  close(): Promise<void>;
}

export interface FileStore {
  /**
   * Throws ConflictError when the id exists, or when `idempotent` is given and its key is not running (any more); LimitExceededError ("stored-bytes")
   * when the project's visible files, the hidden ones that its batches still need, and the parts of its pending uploads would be more than `maxStoredBytes` together.
   */
  insert(
    file: StoredFile,
    options?: { maxStoredBytes?: number | null; idempotent?: IdempotentRequest | undefined },
  ): Promise<void>;
  /** Undefined when missing, of another project, deleted, or expired at `now`. */
  get(projectId: string, id: string, now: number): Promise<StoredFile | undefined>;
  /** Also finds what is deleted or expired, as long as its bytes are kept: for batches that already started. */
  getRetained(id: string): Promise<StoredFile | undefined>;
  /**
   * Visible files by creation, newest first unless `order` is "asc". `after` is exclusive and may
   * name a deleted or expired file of the project; throws NotFoundError when it never existed.
   */
  list(
    projectId: string,
    query: {
      purpose?: FilePurpose;
      after?: string;
      limit: number;
      order: "asc" | "desc";
      now: number;
    },
  ): Promise<Page<StoredFile>>;
  /** Hides the file at once; false when there was no visible file. The record stays as a tombstone. */
  delete(projectId: string, id: string, now: number): Promise<boolean>;
  /**
   * Up to `limit` files whose bytes nobody needs: deleted, or expired at `now`; not yet reclaimed;
   * not the input of a batch that has not ended.
   */
  listReclaimable(now: number, limit: number): Promise<StoredFile[]>;
  /** Notes that the bytes are gone. Repeating it is harmless. */
  markReclaimed(id: string): Promise<void>;
  /** Of these ids, the ones for which a record exists, in any state. For finding orphaned blobs. */
  existing(ids: string[]): Promise<Set<string>>;
}

/** A batch without its figures, which are sums over its shards: whoever claims one needs none. */
export type ClaimedBatch = Omit<Batch, "counts" | "usage">;

/** Ownership of a batch's planning or assembling. */
export interface BatchClaim {
  batch: ClaimedBatch;
  epoch: number;
}

export interface NewShard {
  /** The model as the upstream knows it; empty when the lines name none. */
  model: string;
  /** The model as the file names it; differs from `model` when an alias applies. */
  requestedModel: string;
  /** Range of plan entries. */
  firstEntry: number;
  entryCount: number;
}

/** Where lines are to be sent. */
export interface Demand {
  endpoint: string;
  model: string;
}

/** A batch that has shards to claim, for the order in which a node takes them. */
export interface RunnableBatch {
  batchId: string;
  projectId: string;
  endpoint: string;
  createdAt: number;
  expiresAt: number;
  inputFileId: string;
  planKey: string;
  /** Distinct models of its shards that are neither done nor leased. */
  models: string[];
}

/** What there is to do besides running shards. */
export interface DueWork {
  /** A batch can be claimed for planning. */
  toPlan: boolean;
  /** A batch is in_progress without an ending, and its window is over. */
  toExpire: boolean;
  /** A batch has an ending, has not ended, and is not leased. Its shards may still be. */
  toAssemble: boolean;
}

/** Which batches to list. Conditions left out don't filter. */
export interface BatchQuery {
  after?: string;
  limit: number;
  status?: BatchStatus;
  /** As shown on the batch, or as its lines name it. */
  model?: string;
  /** Pairs that the batch's metadata must have, all of them. */
  metadata?: Readonly<Record<string, string>>;
  /** Epoch ms, inclusive. */
  createdFrom?: number;
}

/** Limits of a project that a planned batch must keep to. Null: none. */
export interface QueueLimits {
  lines: number | null;
  promptTokens: number | null;
}

export interface BatchStore {
  /**
   * Status `validating`. Throws ConflictError when the id exists, or when `idempotent` is given and its key is not running (any more);
   * LimitExceededError ("batches-per-hour") when the project has created `maxPerHour` batches within the hour before.
   */
  insert(
    batch: NewBatch,
    options?: { maxPerHour?: number | null; idempotent?: IdempotentRequest | undefined },
  ): Promise<Batch>;
  get(projectId: string, id: string): Promise<Batch | undefined>;
  /** Newest first; `after` is exclusive; throws NotFoundError when it names no batch of the project. */
  list(projectId: string, query: BatchQuery): Promise<Page<Batch>>;
  /**
   * validating, in_progress or finalizing → cancelling, with ending "cancelled". In any other
   * status nothing changes. Answers the batch as it is afterwards; undefined when there is none.
   */
  requestCancel(projectId: string, id: string, at: number): Promise<Batch | undefined>;

  /** At `now`. Asked again and again, so it is one cheap query. */
  findDue(now: number): Promise<DueWork>;
  /**
   * Takes the planning of the oldest batch that is `validating` and not leased, other than
   * `except`; raises its epoch. Undefined when there is none.
   */
  claimPlanning(
    owner: string,
    leaseMs: number,
    except: readonly string[],
  ): Promise<BatchClaim | undefined>;
  /**
   * Takes the assembling of the oldest batch that has an ending, is not leased, and of which no
   * shard is leased; raises its epoch. Undefined when there is none.
   */
  claimAssembling(owner: string, leaseMs: number): Promise<BatchClaim | undefined>;
  /** Renews the claims; answers the ids of those that are lost. */
  renewClaims(
    owner: string,
    leaseMs: number,
    claims: { batchId: string; epoch: number }[],
  ): Promise<string[]>;
  /** Gives a claim back at once. Harmless when lost. */
  releaseClaim(batchId: string, epoch: number): Promise<void>;

  /** Sets planningStartedAt unless it is set. Throws LeaseLostError. */
  startPlanning(batchId: string, epoch: number, at: number): Promise<void>;
  /**
   * validating → in_progress, with its plan and shards, in one step, and ends the claim. Throws
   * LeaseLostError, or ConflictError when the batch is no longer validating (it was cancelled), or
   * LimitExceededError ("queued-lines", "queued-prompt-tokens") when the project's planned batches that have
   * not ended would then have more than `limits` allows, this one included; the claim stays then.
   */
  finishPlanning(
    batchId: string,
    epoch: number,
    plan: {
      planKey: string;
      total: number;
      /** Estimated prompt tokens of all lines. */
      promptTokens: number;
      model: string | null;
      shards: NewShard[];
      limits: QueueLimits;
      at: number;
    },
  ): Promise<void>;
  /** validating → failed, and ends the claim. Throws as finishPlanning does. */
  failValidation(
    batchId: string,
    epoch: number,
    errors: ValidationError[],
    at: number,
  ): Promise<void>;

  /** in_progress batches that have no ending and whose window is over at `now`: ending "expired". Answers their ids. */
  expireDue(now: number): Promise<string[]>;
  /**
   * finalizing → completed, in_progress with ending "expired" → expired, cancelling → cancelled:
   * with the files, in one step; fixes counts and usage; ends the claim; clears waitingReason. The
   * files' records are inserted in the same step. Throws LeaseLostError, or ConflictError when the
   * ending is not `ending` any more (a cancel came in between: assemble again).
   */
  finish(
    batchId: string,
    epoch: number,
    result: {
      ending: Ending;
      outputFile: StoredFile | null;
      errorFile: StoredFile | null;
      counts: RequestCounts;
      usage: Usage;
      at: number;
    },
  ): Promise<void>;

  /**
   * in_progress batches without an ending that have a shard neither done nor leased whose demand is
   * none of `except`, oldest first; their `models` leave those of `except` out.
   */
  listRunnable(limit: number, except?: readonly Demand[]): Promise<RunnableBatch[]>;
  /** Sets or clears the reason shown; only where it differs. Harmless for ended batches. */
  setWaitingReason(batchIds: string[], reason: string | null): Promise<void>;
  /** The same for all in_progress batches without an ending that have shards of the demand, but for `except`. */
  setDemandWaitingReason(
    demand: Demand,
    reason: string | null,
    except: readonly string[],
  ): Promise<void>;
  /** Ended batches whose plan, journals and answers are still kept. */
  listUnswept(limit: number): Promise<string[]>;
  markSwept(batchId: string): Promise<void>;
  countByStatus(): Promise<Record<BatchStatus, number>>;
  /** Lines of in_progress batches without an ending that have no result, by the progress written last. */
  countQueuedLines(): Promise<number>;
}

export interface ModelStore {
  /** Replaces what is stored for the upstream. */
  save(upstream: string, models: string[], at: number): Promise<void>;
  /** The last successful discovery of each upstream. */
  all(): Promise<Map<string, string[]>>;
}
