// What a new owner of a shard does first: it fixes how much of the older journals counts, so that
// whatever a former owner may still write is nobody's, and learns from them what is done.

import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import type { ShardClaim, ShardProgress } from "../core/shard-store.ts";
import type { Store } from "../core/store.ts";
import { addUsage, noUsage } from "../core/usage.ts";
import { classOf } from "./journal-record.ts";
import { readJournal } from "./journal-recovery.ts";
import { decodeStartedJob, type StartedJob } from "./started-job.ts";

export interface TakenOver {
  /** Line numbers that have their result. */
  recorded: Set<number>;
  /** Line numbers that were in flight when an upstream died: how often it did with that line alone. */
  suspects: Map<number, number>;
  /** Line numbers for which an upstream has begun a job whose end is not recorded: the last one begun. */
  started: Map<number, StartedJob>;
  progress: ShardProgress;
}

/** The claim has raised the epoch already. Throws LeaseLostError, JournalCorruptError. */
export async function takeOver(
  store: Store,
  blobs: BlobStore,
  { shardId, batchId, epoch }: Pick<ShardClaim, "shardId" | "batchId" | "epoch">,
): Promise<TakenOver> {
  const recorded = new Set<number>();
  const suspects = new Map<number, number>();
  const started = new Map<number, StartedJob>();
  const progress: ShardProgress = {
    completed: 0,
    failed: 0,
    usage: noUsage(),
    answeredModel: null,
  };
  // The first owner of a shard finds none: not asked, because of batches that are small and many.
  const journals = epoch === 1 ? [] : await store.shards.olderJournals(shardId);
  for (const journal of journals) {
    const key = blobKeys.journal(batchId, shardId, journal.epoch);
    const accepted = await readJournal(blobs, key, journal.acceptedBytes, (record, payload) => {
      const lineClass = classOf(record.kind);
      if (lineClass === null) {
        const { lineNumber, extra, kind } = record;
        // What came last is so: a job that began shows that its request killed nobody.
        suspects.delete(lineNumber);
        started.delete(lineNumber);
        if (kind === "suspect") suspects.set(lineNumber, extra);
        else started.set(lineNumber, decodeStartedJob(payload));
        return;
      }
      recorded.add(record.lineNumber);
      if (lineClass === "output") progress.completed++;
      else progress.failed++;
      addUsage(progress.usage, record.usage);
    });
    if (journal.acceptedBytes === null)
      await store.shards.seal(shardId, epoch, journal.epoch, accepted);
  }
  for (const lineNumber of recorded) {
    suspects.delete(lineNumber);
    started.delete(lineNumber);
  }
  return { recorded, suspects, started, progress };
}
