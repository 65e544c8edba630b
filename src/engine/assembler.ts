// Ends batches: takes those with an ending, seals what dead owners left of their shards, writes the
// output and error files, and sets the final status.

import type { Ending } from "../core/batch.ts";
import { blobKeys, type BlobReader, type BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { StoredFile } from "../core/file.ts";
import { newFileId, ResultIds } from "../core/ids.ts";
import { DEFAULT_BATCH_FILE_LIFETIME_SECONDS } from "../core/limits.ts";
import type { Signals } from "../core/signals.ts";
import { unfinishedLineError } from "../core/stop-reason.ts";
import {
  type BatchClaim,
  type ClaimedBatch,
  ConflictError,
  LeaseLostError,
  type Store,
} from "../core/store.ts";
import { addUsage, noUsage, type Usage } from "../core/usage.ts";
import type { Log } from "../observability/log.ts";
import { classOf } from "./journal-record.ts";
import { readJournal } from "./journal-recovery.ts";
import type { Leases } from "./leases.ts";
import { readPlanCount, readPlanSlice } from "./plan.ts";
import { writeResultFiles } from "./result-files.ts";
import { ResultIndex } from "./result-index.ts";
import { takeOver } from "./take-over.ts";

export interface AssemblerOptions {
  store: Store;
  blobs: BlobStore;
  leases: Leases;
  signals: Signals;
  clock: Clock;
  log: Log;
}

interface Assembled {
  outputFile: StoredFile | null;
  errorFile: StoredFile | null;
  total: number;
  completed: number;
  failed: number;
  usage: Usage;
}

/** The claim is gone, or this node stops. */
class Superseded extends Error {
  override readonly name = "Superseded";
}

const PLAN_ENTRIES_PER_READ = 8192;

export class Assembler {
  readonly #options: AssemblerOptions;
  readonly #ids = new ResultIds();

  constructor(options: AssemblerOptions) {
    this.#options = options;
  }

  /** Ends every batch that can be ended now. */
  async tick(stopping: AbortSignal): Promise<void> {
    const { store, leases } = this.#options;
    while (!stopping.aborted) {
      const claim = await store.batches.claimAssembling(leases.owner, leases.leaseMs);
      if (!claim) return;
      await this.#end(claim, stopping);
    }
  }

  async #end({ batch, epoch }: BatchClaim, stopping: AbortSignal): Promise<void> {
    const { store, leases, signals, clock, log, blobs } = this.#options;
    const held = leases.holdBatch(batch.id, epoch);
    const startedMs = clock.monotonicMs();
    let files: Assembled | null = null;
    try {
      const ending = batch.ending;
      if (ending === null)
        throw new Error(`batch ${batch.id} was claimed for assembling without an ending`);
      files = await this.#assemble(batch, ending, () => {
        if (stopping.aborted || held.lost.aborted) throw new Superseded();
      });
      const { outputFile, errorFile, usage, ...counts } = files;
      await store.batches.finish(batch.id, epoch, {
        ending,
        outputFile,
        errorFile,
        counts,
        usage,
        at: clock.now(),
      });
      const tookMs = Math.round(clock.monotonicMs() - startedMs);
      log.info({ batch_id: batch.id, ending, ...counts, assemble_ms: tookMs }, "batch ended");
      signals.emit("batch-ended");
    } catch (error) {
      // Cancelled in between: the next round assembles it again, with what a cancel means.
      const isExpected =
        error instanceof Superseded ||
        error instanceof ConflictError ||
        error instanceof LeaseLostError;
      if (isExpected) {
        for (const file of [files?.outputFile, files?.errorFile])
          if (file) await blobs.delete(file.blobKey);
        await store.batches.releaseClaim(batch.id, epoch);
        return;
      }
      // The claim is left to run out, which makes the pause before the next try. The files are left
      // too, for the batch may have ended with them all the same; if not, the sweeper finds them.
      const reason = error instanceof Error ? error.message : String(error);
      await store.batches.setWaitingReason([batch.id], `its files can't be written: ${reason}`);
      log.error({ err: error, batch_id: batch.id }, "batch can't be assembled; will try again");
    } finally {
      held.release();
    }
  }

  async #assemble(batch: ClaimedBatch, ending: Ending, checkpoint: () => void): Promise<Assembled> {
    const { store, blobs, leases } = this.#options;
    if (batch.planKey === null) {
      return {
        outputFile: null,
        errorFile: null,
        total: 0,
        completed: 0,
        failed: 0,
        usage: noUsage(),
      };
    }
    for (const claim of await store.shards.claimUnfinished(
      batch.id,
      leases.owner,
      leases.leaseMs,
    )) {
      checkpoint();
      const { progress } = await takeOver(store, blobs, claim);
      // Given back at once, for a cancel in between has all of this done again.
      await store.shards.release(claim.shardId, claim.epoch, 0, progress);
    }
    const input = await store.files.getRetained(batch.inputFileId);
    if (!input) throw new Error(`the input file ${batch.inputFileId} is gone`);
    const open: BlobReader[] = [];
    try {
      const planReader = await blobs.open(batch.planKey);
      open.push(planReader);
      const inputReader = await blobs.open(input.blobKey);
      open.push(inputReader);
      return await this.#writeFiles(batch, ending, planReader, inputReader, checkpoint);
    } finally {
      for (const reader of open) await reader.close();
    }
  }

  async #writeFiles(
    batch: ClaimedBatch,
    ending: Ending,
    plan: BlobReader,
    input: BlobReader,
    checkpoint: () => void,
  ): Promise<Assembled> {
    const { blobs, clock } = this.#options;
    const total = await readPlanCount(plan);
    const index = new ResultIndex(total);
    for (let first = 0; first < total; first += PLAN_ENTRIES_PER_READ) {
      index.addEntries(
        await readPlanSlice(plan, first, Math.min(PLAN_ENTRIES_PER_READ, total - first)),
      );
    }
    index.sort();
    const figures = { total, completed: 0, failed: 0, usage: noUsage() };
    const journalKeys = await this.#readJournals(batch.id, index, figures, checkpoint);
    const [output, error] = (["output", "error"] as const).map((kind) =>
      this.#newFile(batch, kind),
    );
    if (!output || !error) throw new Error("unreachable: two files were made");
    const written = await writeResultFiles({
      blobs,
      index,
      journalKeys,
      plan,
      input,
      outputKey: output.blobKey,
      errorKey: error.blobKey,
      unfinished: ending === "completed" ? null : unfinishedLineError(ending),
      newLineId: () => this.#ids.lineId(clock.now()),
      checkpoint,
    });
    const sized = (file: StoredFile, sizeBytes: number | null) =>
      sizeBytes === null ? null : { ...file, sizeBytes };
    return {
      ...figures,
      outputFile: sized(output, written.outputBytes),
      errorFile: sized(error, written.errorBytes),
    };
  }

  /** Indexes every accepted record and sums the figures; answers the journals' keys. */
  async #readJournals(
    batchId: string,
    index: ResultIndex,
    figures: { completed: number; failed: number; usage: Usage },
    checkpoint: () => void,
  ): Promise<string[]> {
    const { store, blobs } = this.#options;
    const keys: string[] = [];
    for (const { shardId, epoch, acceptedBytes } of await store.shards.journals(batchId)) {
      checkpoint();
      const key = blobKeys.journal(batchId, shardId, epoch);
      const journal = keys.push(key) - 1;
      if (acceptedBytes === null) {
        throw new Error(`the journal ${key} is not sealed: somebody still runs its shard`);
      }
      await readJournal(blobs, key, acceptedBytes, (record) => {
        const lineClass = classOf(record.kind);
        if (lineClass === null) return;
        if (lineClass === "output") figures.completed++;
        else figures.failed++;
        addUsage(figures.usage, record.usage);
        index.addResult(record.lineNumber, {
          lineClass,
          inBlob: record.kind.endsWith("-blob"),
          journal,
          start: record.payloadStart,
          length: record.payloadLength,
        });
      });
    }
    return keys;
  }

  #newFile(batch: ClaimedBatch, kind: "output" | "error"): StoredFile {
    const id = newFileId();
    const createdAt = this.#options.clock.now();
    const lifetimeSeconds = batch.outputExpiresAfterSeconds ?? DEFAULT_BATCH_FILE_LIFETIME_SECONDS;
    return {
      id,
      projectId: batch.projectId,
      purpose: "batch_output",
      filename: `${batch.id}_${kind}.jsonl`,
      sizeBytes: 0,
      sha256: null,
      blobKey: blobKeys.file(id),
      createdAt,
      expiresAt: createdAt + lifetimeSeconds * 1000,
    };
  }
}
