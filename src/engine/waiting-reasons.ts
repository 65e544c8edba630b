// Writes to the Store why batches don't move, and only when that has changed.

import type { BatchStore } from "../core/store.ts";

export class WaitingReasons {
  readonly #batches: BatchStore;
  #shown = new Map<string, string | null>();

  constructor(batches: BatchStore) {
    this.#batches = batches;
  }

  /** @param reasons of all batches this node looks after; null: it moves */
  async show(reasons: ReadonlyMap<string, string | null>): Promise<void> {
    const changed = new Map<string | null, string[]>();
    for (const [batchId, reason] of reasons) {
      // One not seen before may still show what an earlier process wrote.
      if (this.#shown.has(batchId) && this.#shown.get(batchId) === reason) continue;
      changed.set(reason, [...(changed.get(reason) ?? []), batchId]);
    }
    for (const [reason, batchIds] of changed)
      await this.#batches.setWaitingReason(batchIds, reason);
    this.#shown = new Map(reasons);
  }
}
