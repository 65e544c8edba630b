// The part of the Store that knows who runs which shard, how far it is, and what of its journals counts. Promises as in
// store.ts.

import type { Ending } from "./batch.ts";
import type { Usage } from "./usage.ts";

/** Ownership of a shard. */
export interface ShardClaim {
  shardId: string;
  batchId: string;
  model: string;
  requestedModel: string;
  firstEntry: number;
  entryCount: number;
  /** 1 for the first owner. */
  epoch: number;
}

/** Absolute figures of one shard, rebuilt from its journals at every take-over. */
export interface ShardProgress {
  completed: number;
  failed: number;
  usage: Usage;
  /** The model that answered, when an answer named one. */
  answeredModel: string | null;
}

/** The journal of one epoch of a shard, which its owner may have begun. `acceptedBytes` is its seal: null until sealed. */
export interface JournalSeal {
  epoch: number;
  acceptedBytes: number | null;
}

export interface ShardRenewals {
  /** Ids of the shards that are lost. */
  lost: string[];
  /** By id, of those that are kept and whose batch has an ending: they are to be given back. */
  endings: Map<string, Ending>;
}

export interface ShardStore {
  /**
   * Takes up to `limit` shards of the batch that are neither done nor leased and whose model is
   * one of `models`, lowest range first; raises their epochs. Empty when the batch is not in_progress or has an
   * ending. When the Store was lost meanwhile, more may be claimed than are answered: they are free again when the lease is over.
   */
  claim(
    batchId: string,
    query: { models: string[]; owner: string; leaseMs: number; limit: number },
  ): Promise<ShardClaim[]>;
  /**
   * Takes all shards of the batch that are not done, whatever its status, leased or not: to seal what dead nodes left.
   * The caller has the claim of the batch for assembling, so no owner may work on; one that still does is fenced.
   */
  claimUnfinished(batchId: string, owner: string, leaseMs: number): Promise<ShardClaim[]>;
  /** Journals of older epochs than the shard's current one, ascending. */
  olderJournals(shardId: string): Promise<JournalSeal[]>;
  /** Fixes how much of an older journal counts. Throws LeaseLostError when `epoch` is not the shard's current one. Sealing again with the same figure is harmless, with another one a ConflictError. */
  seal(shardId: string, epoch: number, journalEpoch: number, acceptedBytes: number): Promise<void>;
  /** Renews leases and writes progress, all in one step. */
  renew(
    owner: string,
    leaseMs: number,
    shards: { shardId: string; epoch: number; progress: ShardProgress }[],
  ): Promise<ShardRenewals>;
  /** Seals the owner's own journal and gives the shard back, not done. Throws LeaseLostError. */
  release(
    shardId: string,
    epoch: number,
    acceptedBytes: number,
    progress: ShardProgress,
  ): Promise<void>;
  /**
   * Seals the owner's own journal; the shard is done. When it is the last one of a batch that is
   * in_progress without an ending, in the same step: in_progress → finalizing with ending
   * "completed"; answers whether that happened. Throws LeaseLostError.
   */
  finish(
    shardId: string,
    epoch: number,
    acceptedBytes: number,
    progress: ShardProgress,
    at: number,
  ): Promise<{ batchSettled: boolean }>;
  /** Every journal of every shard of the batch, by range and epoch: what the assembler reads. */
  journals(
    batchId: string,
  ): Promise<{ shardId: string; epoch: number; acceptedBytes: number | null }[]>;
}
