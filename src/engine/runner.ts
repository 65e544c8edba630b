// Keeps the lanes of this node in work: claims shards of the batches whose turn it is, runs them,
// and stops them when their batch ends. Says of every batch that does not move why.

import { type BlobReader, type BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import { ResultIds } from "../core/ids.ts";
import type { ShardClaim } from "../core/shard-store.ts";
import type { StopReason } from "../core/stop-reason.ts";
import {
  type Demand,
  LeaseLostError,
  NotFoundError,
  type RunnableBatch,
  type Store,
} from "../core/store.ts";
import type { Lanes } from "../lanes/lanes.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { AttachedFiles } from "./attached-files.ts";
import { byTurn } from "./claim-order.ts";
import type { FreeSpace } from "./free-space.ts";
import { JournalCorruptError } from "./journal-recovery.ts";
import type { Leases } from "./leases.ts";
import { PlanDamagedError, type PlanSlice, readPlanSlice } from "./plan.ts";
import { listRunnable } from "./runnable-list.ts";
import type { RunEnd, ShardRunSettings } from "./shard-run-options.ts";
import { ShardRun } from "./shard-run.ts";
import { lowWater, ShardsAtHand } from "./shards-at-hand.ts";
import { takeOver } from "./take-over.ts";
import { WaitingReasons } from "./waiting-reasons.ts";

export interface RunnerOptions {
  store: Store;
  blobs: BlobStore;
  lanes: Lanes;
  leases: Leases;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  freeSpace: FreeSpace;
  files: AttachedFiles;
  settings: ShardRunSettings;
  /** Longest time without asking the Store what can be run. */
  pollMs: number;
  /** Called when a batch may be ready for assembling. */
  onBatchSettled: () => void;
  /** Called when there may be room for another shard. */
  onRoom: () => void;
}

/** Claimed at the same time, for such claims share a commit of the Store. */
const CLAIMS_AT_ONCE = 8;
/** How long a batch whose files are damaged is left alone: somebody may have mended them. */
const DAMAGE_PAUSE_MS = 60_000;
/** A journal that waits longer for the storage is why its batch does not move. */
const SLOW_COMMIT_MS = 5_000;
/** No claims for so long after a journal could not be written. */
const STORAGE_PAUSE_MS = 5_000;
/** How long a batch keeps its place when others wait for one. */
const TIME_SLICE_MS = 5_000;

/** Whether somebody must mend a file before the batch can be run. Anything else may pass by itself. */
function isDamage(error: unknown): error is Error {
  return (
    error instanceof JournalCorruptError ||
    error instanceof PlanDamagedError ||
    error instanceof NotFoundError
  );
}

export class Runner {
  readonly #options: RunnerOptions;
  readonly #ids = new ResultIds();
  readonly #runs = new Set<ShardRun>();
  readonly #waiting: WaitingReasons;
  /** Batches whose files are damaged: why, and until when nothing of them is claimed here. */
  readonly #broken = new Map<string, { reason: string; untilMs: number }>();
  #pausedBefore: readonly Demand[] = [];
  /** When each batch last got a shard run, on the monotonic clock. */
  readonly #servedAt = new Map<string, number>();
  readonly #inputKeys = new Map<string, string>();
  /** After a failure of the storage nothing is claimed for a while, or it would be tried over and over. */
  #heldUntilMs = 0;
  #stuck: string | null = null;
  /** Batches listed last, and when: what this node takes of them is known here, anything else is told or found later. */
  #listed: readonly RunnableBatch[] = [];
  #listedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#waiting = new WaitingReasons(options.store.batches);
  }

  /** There may be something else to run than was listed last: the next tick asks the Store. */
  refresh(): void {
    this.#listedAtMs = Number.NEGATIVE_INFINITY;
  }

  async tick(stopping: AbortSignal): Promise<void> {
    const { store, freeSpace, clock, pollMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const isStale = nowMs - this.#listedAtMs >= pollMs;
    if (isStale) await freeSpace.check();
    this.#yieldWithoutShare();
    // What waits for a paused lane would only stand in front of what can be run.
    const paused = this.#pausedDemands();
    const isHeld = this.#heldBecause() !== null;
    if (isStale || (!isHeld && this.#nextClaims(this.#listed).length > 0)) {
      this.#listedAtMs = nowMs;
      this.#forgetBroken(nowMs);
      this.#listed = await listRunnable(store.batches, this.#atHand(), paused);
      if (!isHeld) await this.#claim(this.#listed, stopping);
    }
    // Pauses that no completion ends: a trust window renewed, a journal that caught up, disk space.
    for (const run of this.#runs) run.pump();
    await this.#explain(this.#listed, paused);
  }

  #breakOff(batchId: string, reason: string): void {
    const untilMs = this.#options.clock.monotonicMs() + DAMAGE_PAUSE_MS;
    this.#broken.set(batchId, { reason, untilMs });
  }

  #forgetBroken(nowMs: number): void {
    for (const [batchId, { untilMs }] of this.#broken) {
      if (untilMs <= nowMs) this.#broken.delete(batchId);
    }
  }

  /** Where all lanes are paused, and a shard is at hand whose lines find out when they can go on. */
  #pausedDemands(): Demand[] {
    const demands = new Map<string, Demand>();
    for (const { endpoint, claim } of this.#runs) {
      const { model } = claim;
      if (this.#options.lanes.pausedBecause(endpoint, model) === null) continue;
      demands.set(JSON.stringify([endpoint, model]), { endpoint, model });
    }
    return [...demands.values()];
  }

  /** Why nothing moves here, whatever the upstreams do; null when it does. */
  #stuckBecause(): string | null {
    const { freeSpace, metrics } = this.#options;
    if (freeSpace.reason !== null) return freeSpace.reason;
    if (metrics.journalCommits.oldestMs < SLOW_COMMIT_MS) return null;
    return "results can't be stored: the storage does not answer";
  }

  /** Why no shard is claimed at present; null when they are. */
  #heldBecause(): string | null {
    const { clock } = this.#options;
    const stuck = this.#stuckBecause();
    if (stuck !== null) return stuck;
    if (clock.monotonicMs() >= this.#heldUntilMs) return null;
    return "waiting after a failure of the storage; see the log";
  }

  /** Has shards given back whose lanes have no share of the limits any more: other nodes send instead. */
  #yieldWithoutShare(): void {
    for (const run of this.#runs) {
      const lanes = this.#options.lanes.lanesFor(run.endpoint, run.claim.model);
      if (lanes.length > 0 && lowWater(lanes) === 0) run.stop("yield");
    }
  }

  async #claim(listed: readonly RunnableBatch[], stopping: AbortSignal): Promise<void> {
    let candidates = listed;
    while (!stopping.aborted) {
      const next = this.#nextClaims(candidates);
      if (next.length === 0) break;
      const claimedAtMs = this.#options.clock.monotonicMs();
      const claims = await Promise.all(
        next.map(({ batch, models }) => this.#claimShard(batch.batchId, models)),
      );
      const refused = new Set<RunnableBatch>();
      for (const [at, { batch }] of next.entries()) {
        const claim = claims[at];
        // One after the other: lines of the first are sent while the journals of the next are read.
        const isRunning = claim !== undefined && (await this.#open(batch, claim, claimedAtMs));
        if (!isRunning) refused.add(batch);
      }
      candidates = candidates.filter((candidate) => !refused.has(candidate));
    }
    this.#makeRoom(candidates);
  }

  /** Of which batches shards are to be claimed now, one each, and of which of their models. */
  #nextClaims(candidates: readonly RunnableBatch[]): { batch: RunnableBatch; models: string[] }[] {
    const active = this.#activeBatches();
    const atHand = this.#atHand();
    const claims: { batch: RunnableBatch; models: string[] }[] = [];
    for (const batch of byTurn(candidates, active, this.#servedAt)) {
      if (this.#broken.has(batch.batchId)) continue;
      const models = atHand.wanted(batch, active.has(batch.batchId));
      if (models.length === 0) continue;
      atHand.expect(batch, models);
      if (claims.push({ batch, models }) === CLAIMS_AT_ONCE) break;
    }
    return claims;
  }

  #atHand(): ShardsAtHand {
    return new ShardsAtHand(this.#options.lanes, this.#runs);
  }

  async #claimShard(batchId: string, models: string[]): Promise<ShardClaim | undefined> {
    const { store, leases } = this.#options;
    const { owner, leaseMs } = leases;
    const [claim] = await store.shards.claim(batchId, { models, owner, leaseMs, limit: 1 });
    return claim;
  }

  #activeBatches(): Set<string> {
    return new Set([...this.#runs].map(({ claim }) => claim.batchId));
  }

  /** Has the shard that runs longest give way, when a batch waits of which nothing runs. */
  #makeRoom(candidates: readonly RunnableBatch[]): void {
    const active = this.#activeBatches();
    const waiting = candidates.find(
      ({ batchId }) => !active.has(batchId) && !this.#broken.has(batchId),
    );
    const running = [...this.#runs];
    // One after the other: a shard that gives way still has lines in flight.
    if (!waiting || running.some((run) => run.isStopping)) return;
    const before = this.#options.clock.monotonicMs() - TIME_SLICE_MS;
    running
      .filter((run) => waiting.models.includes(run.claim.model) && run.mayYield)
      .find(({ claim }) => (this.#servedAt.get(claim.batchId) ?? 0) < before)
      ?.stop("yield");
  }

  async #open(batch: RunnableBatch, claim: ShardClaim, claimedAtMs: number): Promise<boolean> {
    const { store, blobs, leases, log } = this.#options;
    const lanes = this.#options.lanes.lanesFor(batch.endpoint, claim.model);
    let input: BlobReader | undefined;
    try {
      const takenOver = await takeOver(store, blobs, claim);
      const plan = await this.#readPlan(batch.planKey, claim);
      input = await this.#openInput(batch);
      const lease = leases.holdShard(claim.shardId, claim.epoch, claimedAtMs, {
        progress: () => run.progress(),
        onEnding: (ending) => run.stop(ending === "expired" ? "expired" : "cancelled"),
      });
      const run = new ShardRun({
        ...this.#options,
        ids: this.#ids,
        claim,
        batch,
        lease,
        lanes,
        plan,
        input,
        takenOver,
        // Of shards that take turns each has but a share of what is left.
        lowWater: Math.ceil(lowWater(lanes) / (this.#runs.size + 1)),
        onLow: this.#options.onRoom,
        isHeld: () => this.#options.freeSpace.reason !== null,
      });
      this.#runs.add(run);
      this.#servedAt.set(claim.batchId, claimedAtMs);
      void run.ended.then((how) => this.#onEnded(run, how));
      if (takenOver.recorded.size > 0) {
        const kept = takenOver.recorded.size;
        log.info(
          { batch_id: claim.batchId, shard: claim.shardId, kept, epoch: claim.epoch },
          "shard taken over",
        );
      }
      run.start();
    } catch (error) {
      await input?.close();
      // Its lease runs out by itself, which makes the pause before the next try.
      const about = { err: error, batch_id: claim.batchId, shard: claim.shardId };
      if (isDamage(error)) this.#breakOff(claim.batchId, error.message);
      if (error instanceof LeaseLostError) log.warn(about, "shard lost to another node at once");
      else log.error(about, "shard can't be run");
      return false;
    }
    return true;
  }

  /** Where the file is is asked once while shards of the batch run here. */
  async #openInput({ batchId, inputFileId }: RunnableBatch): Promise<BlobReader> {
    let key = this.#inputKeys.get(batchId);
    if (key === undefined) {
      const file = await this.#options.store.files.getRetained(inputFileId);
      if (!file) throw new NotFoundError(`the input file ${inputFileId} is gone`);
      key = file.blobKey;
    }
    const input = await this.#options.blobs.open(key);
    this.#inputKeys.set(batchId, key);
    return input;
  }

  async #readPlan(planKey: string, { firstEntry, entryCount }: ShardClaim): Promise<PlanSlice> {
    const plan = await this.#options.blobs.open(planKey);
    try {
      return await readPlanSlice(plan, firstEntry, entryCount);
    } finally {
      await plan.close();
    }
  }

  #onEnded(run: ShardRun, how: RunEnd): void {
    this.#runs.delete(run);
    if (how === "input-damaged") {
      this.#breakOff(run.claim.batchId, "its input file can't be read as planned; see the log");
    }
    if (how === "storage-failed") {
      this.#heldUntilMs = this.#options.clock.monotonicMs() + STORAGE_PAUSE_MS;
    }
    if (how !== "finished" && how !== "lost") this.#options.onBatchSettled();
    if (how !== "finished") this.refresh();
    this.#options.onRoom();
  }

  async #explain(runnable: readonly RunnableBatch[], paused: readonly Demand[]): Promise<void> {
    const { lanes, store, log } = this.#options;
    const stuck = this.#stuckBecause();
    if (stuck !== null && this.#stuck === null) log.warn({ reason: stuck }, "batches wait");
    if (stuck === null && this.#stuck !== null) log.info("batches go on");
    this.#stuck = stuck;
    const reasons = new Map<string, string | null>();
    const known = new Map<string, string | null>();
    const pausedBecause = (endpoint: string, model: string) => {
      const key = `${endpoint} ${model}`;
      if (!known.has(key)) known.set(key, lanes.pausedBecause(endpoint, model));
      return known.get(key) ?? null;
    };
    const note = (batchId: string, held: string | null, endpoint: string, models: string[]) => {
      const pauses = models.map((model) => pausedBecause(endpoint, model));
      // One model that moves is enough for the batch to move.
      const pause = pauses.includes(null) ? null : (pauses[0] ?? null);
      const reason = held ?? this.#broken.get(batchId)?.reason ?? pause;
      if (reasons.get(batchId) !== null) reasons.set(batchId, reason);
    };
    for (const { endpoint, claim } of this.#runs) {
      note(claim.batchId, stuck, endpoint, [claim.model]);
    }
    const held = this.#heldBecause();
    for (const { batchId, endpoint, models } of runnable) note(batchId, held, endpoint, models);
    await this.#waiting.show(reasons);
    // Those that were paused until now, too: their batches wait for nothing but their turn.
    for (const demand of [...this.#pausedBefore, ...paused]) {
      const reason = lanes.pausedBecause(demand.endpoint, demand.model);
      await store.batches.setDemandWaitingReason(demand, reason, [...reasons.keys()]);
    }
    this.#pausedBefore = paused;
    for (const batchId of this.#servedAt.keys()) {
      if (reasons.has(batchId)) continue;
      this.#servedAt.delete(batchId);
      this.#inputKeys.delete(batchId);
    }
  }

  /** Stops all shards and waits until they are given back. */
  async stop(reason: StopReason): Promise<void> {
    const runs = [...this.#runs];
    for (const run of runs) run.stop(reason);
    await Promise.all(runs.map((run) => run.ended));
  }
}
