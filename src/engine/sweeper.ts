// Deletes what nobody needs any more, and nothing else: the bytes of deleted and expired files, the
// plans and journals of ended batches, the parts of uploads that are over, what is remembered of requests
// and deliveries for a time, and blobs that a crash left without a record.

import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { Store } from "../core/store.ts";
import type { Log } from "../observability/log.ts";

export interface SweeperOptions {
  store: Store;
  blobs: BlobStore;
  clock: Clock;
  log: Log;
  /** A file's blob without a record is left alone until it is this old: its upload may still be under way. */
  orphanAgeMs: number;
  /** Since when nobody but this process has written here: older uploads died with their process. Null: others may write. */
  aloneSince: number | null;
}

const PER_ROUND = 100;
/** How long it can be seen what became of a webhook's deliveries. */
const DELIVERIES_KEPT_MS = 7 * 86_400_000;

export class Sweeper {
  readonly #options: SweeperOptions;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  async tick(stopping: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    await this.#reclaimFiles(stopping);
    await this.#sweepBatches(stopping);
    await this.#sweepUploads(stopping);
    const now = clock.now();
    await store.idempotency.sweep(now);
    await store.webhooks.sweepDeliveries(now - DELIVERIES_KEPT_MS);
  }

  async #reclaimFiles(stopping: AbortSignal): Promise<void> {
    const { store, blobs, clock, log } = this.#options;
    for (;;) {
      const files = await store.files.listReclaimable(clock.now(), PER_ROUND);
      for (const file of files) {
        if (stopping.aborted) return;
        await blobs.delete(file.blobKey);
        await store.files.markReclaimed(file.id);
        log.info({ file_id: file.id, bytes: file.sizeBytes }, "file reclaimed");
      }
      if (files.length < PER_ROUND) return;
    }
  }

  async #sweepBatches(stopping: AbortSignal): Promise<void> {
    const { store, blobs } = this.#options;
    for (;;) {
      const batchIds = await store.batches.listUnswept(PER_ROUND);
      for (const batchId of batchIds) {
        if (stopping.aborted) return;
        await blobs.deleteAll(blobKeys.batch(batchId));
        await store.batches.markSwept(batchId);
      }
      if (batchIds.length < PER_ROUND) return;
    }
  }

  /** Every part is below its upload, with a record or not, so nothing of it can be left. */
  async #sweepUploads(stopping: AbortSignal): Promise<void> {
    const { store, blobs, clock } = this.#options;
    for (;;) {
      const uploadIds = await store.uploads.listUnswept(clock.now(), PER_ROUND);
      for (const uploadId of uploadIds) {
        if (stopping.aborted) return;
        await blobs.deleteAll(blobKeys.upload(uploadId));
        await store.uploads.markSwept(uploadId);
      }
      if (uploadIds.length < PER_ROUND) return;
    }
  }

  /** Deletes blobs of files that no record knows: an upload or an assembling died in between. */
  async sweepOrphans(stopping: AbortSignal): Promise<void> {
    const { clock, blobs, orphanAgeMs, aloneSince } = this.#options;
    const oldEnough = Math.max(clock.now() - orphanAgeMs, aloneSince ?? 0);
    let ids: string[] = [];
    for await (const { key, modifiedAt } of blobs.list(blobKeys.files)) {
      if (stopping.aborted) return;
      if (modifiedAt >= oldEnough) continue;
      ids.push(key.slice(blobKeys.files.length));
      if (ids.length < PER_ROUND) continue;
      await this.#deleteUnknown(ids);
      ids = [];
    }
    await this.#deleteUnknown(ids);
  }

  async #deleteUnknown(ids: string[]): Promise<void> {
    const { store, blobs, log } = this.#options;
    if (ids.length === 0) return;
    const known = await store.files.existing(ids);
    for (const id of ids) {
      if (known.has(id)) continue;
      await blobs.delete(blobKeys.file(id));
      log.info({ file_id: id }, "orphaned blob deleted");
    }
  }
}
