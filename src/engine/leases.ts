// Keeps this node's claims alive: renews all of them in one step about once a second, together with
// the shards' progress, and tells each holder until when it may trust its claim, and that its batch is to end.
//
// A holder may send only inside its trust window, which is shorter than the lease and counted
// from the *start* of the last renewal that succeeded, so that a node that was suspended stops
// before anybody else can have taken over.

import { setImmediate as nextTurnOfLoop } from "node:timers/promises";
import type { Ending } from "../core/batch.ts";
import type { Clock } from "../core/clock.ts";
import type { ShardProgress } from "../core/shard-store.ts";
import type { Store } from "../core/store.ts";
import type { Log } from "../observability/log.ts";
import { OutageLog } from "../observability/outage-log.ts";

/** The part of a lease within which its holder trusts it. */
const TRUSTED_PART = 2 / 3;
const RENEW_EVERY_MS = 1_000;

export interface HeldLease {
  /** Aborted once the claim is lost. */
  readonly lost: AbortSignal;
  /** False when the claim may have been taken over by now. */
  trusted(): boolean;
  /** Stops renewing. */
  release(): void;
}

export interface ShardHolder {
  progress: () => ShardProgress;
  /** Told with every renewal, once the shard's batch has an ending. */
  onEnding: (ending: Ending) => void;
}

interface Held {
  id: string;
  epoch: number;
  trustedUntilMs: number;
  lost: AbortController;
  /** Null for the claim of a batch. */
  holder: ShardHolder | null;
}

export class Leases {
  readonly owner: string;
  readonly leaseMs: number;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #outage: OutageLog;
  readonly #held = new Set<Held>();
  #timer: NodeJS.Timeout | null = null;
  #renewing: Promise<void> | null = null;

  constructor(options: { owner: string; leaseMs: number; store: Store; clock: Clock; log: Log }) {
    this.owner = options.owner;
    this.leaseMs = options.leaseMs;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#outage = new OutageLog(options.log, {
      begins: "could not renew leases; sending stops when they run out",
      ends: "leases are renewed again",
    });
  }

  holdBatch(batchId: string, epoch: number): HeldLease {
    return this.#hold(batchId, epoch, null, this.#clock.monotonicMs());
  }

  /** @param claimedAtMs monotonic time at which the claim was asked for */
  holdShard(shardId: string, epoch: number, claimedAtMs: number, holder: ShardHolder): HeldLease {
    return this.#hold(shardId, epoch, holder, claimedAtMs);
  }

  #hold(id: string, epoch: number, holder: Held["holder"], sinceMs: number): HeldLease {
    // Its lease had run out, and this node was the next to claim it.
    for (const older of this.#held) if (older.id === id) this.#lose(older);
    const trustedUntilMs = sinceMs + this.leaseMs * TRUSTED_PART;
    const held: Held = { id, epoch, trustedUntilMs, lost: new AbortController(), holder };
    this.#held.add(held);
    this.#timer ??= setInterval(() => this.#tick(), Math.min(RENEW_EVERY_MS, this.leaseMs / 6));
    return {
      lost: held.lost.signal,
      trusted: () => !held.lost.signal.aborted && this.#clock.monotonicMs() < held.trustedUntilMs,
      release: () => {
        this.#held.delete(held);
        if (this.#held.size === 0) this.#stopTimer();
      },
    };
  }

  /** A slow one is waited for: renewals that queue up would only say the same. */
  #tick(): void {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
  }

  /** Renews now, or once more after the renewal under way: so that holders learn of a new ending. */
  async renewNow(): Promise<void> {
    await this.#renewing;
    this.#tick();
    await this.#renewing;
  }

  async #renew(): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    const all = [...this.#held];
    if (all.length === 0) return;
    const shards = all.flatMap(({ id, epoch, holder }) =>
      holder ? [{ shardId: id, epoch, progress: holder.progress() }] : [],
    );
    const batches = all.flatMap(({ id, epoch, holder }) =>
      holder ? [] : [{ batchId: id, epoch }],
    );
    try {
      const { owner, leaseMs } = this;
      const { batches: batchStore, shards: shardStore } = this.#store;
      const renewed = shards.length > 0 && (await shardStore.renew(owner, leaseMs, shards));
      const lost = new Set(renewed ? renewed.lost : []);
      if (batches.length > 0) {
        for (const id of await batchStore.renewClaims(owner, leaseMs, batches)) lost.add(id);
      }
      this.#outage.succeeded();
      // A claim that was ended just before, perhaps in the same commit, is released within this turn.
      if (lost.size > 0) await nextTurnOfLoop();
      for (const held of all) {
        // One that was released meanwhile is not ours to speak of any more.
        if (!this.#held.has(held)) continue;
        if (lost.has(held.id)) this.#lose(held);
        else held.trustedUntilMs = startedMs + this.leaseMs * TRUSTED_PART;
        const ending = renewed && renewed.endings.get(held.id);
        if (ending) held.holder?.onEnding(ending);
      }
    } catch (error) {
      this.#outage.failed(error);
    }
  }

  #lose(held: Held): void {
    this.#held.delete(held);
    this.#log.warn({ claim: held.id, epoch: held.epoch }, "claim lost to another owner");
    held.lost.abort();
  }

  #stopTimer(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Ends renewing, after the one under way. */
  async stop(): Promise<void> {
    this.#stopTimer();
    await this.#renewing;
  }
}
