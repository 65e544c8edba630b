// Turns results into durable records and keeps the shard's figures: a line counts when it is
// durable, not before. Large lines go to blobs of their own, which the journal names.

import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import { joinParts, lengthOfParts, type LineParts } from "../core/line-parts.ts";
import type { LineClass } from "../core/result-line.ts";
import type { ShardClaim, ShardProgress } from "../core/shard-store.ts";
import { addUsage, type Usage } from "../core/usage.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { Tally } from "../observability/tallied-counter.ts";
import { MAX_PAYLOAD_BYTES } from "./journal-record.ts";
import { Journal } from "./journal.ts";
import { encodeStartedJob, type StartedJob } from "./started-job.ts";

export interface Result {
  lineNumber: number;
  lineClass: LineClass;
  /** The line of the output or error file, newline included. */
  line: LineParts;
  usage: Usage | null;
  model: string | null;
}

export interface ResultRecorderOptions {
  blobs: BlobStore;
  metrics: Metrics;
  claim: ShardClaim;
  progress: ShardProgress;
  /** Called whenever a result has become durable. */
  onRecorded: () => void;
  /** Nothing more can be recorded under this claim. Called once. */
  onFailure: (error: unknown) => void;
}

/** No new requests while more than this waits for the disk. */
const MAX_PENDING_BYTES = 32 * 1024 * 1024;

export class ResultRecorder {
  readonly #options: ResultRecorderOptions;
  readonly #journal: Journal;
  readonly #lines: Record<LineClass, Tally>;
  readonly #spills = new Set<Promise<void>>();
  #spillingBytes = 0;
  #failed = false;

  constructor(options: ResultRecorderOptions) {
    const { claim, blobs, metrics } = options;
    this.#options = options;
    this.#lines = {
      output: metrics.lines.tally({ outcome: "completed" }),
      error: metrics.lines.tally({ outcome: "failed" }),
    };
    this.#journal = new Journal({
      blobs,
      key: blobKeys.journal(claim.batchId, claim.shardId, claim.epoch),
      beginCommit: () => metrics.journalCommits.begin(),
      onFailure: (error) => this.#fail(error),
    });
  }

  /** True while the disk lags behind and nothing more should be sent. */
  get isBehind(): boolean {
    return this.#journal.pendingBytes + this.#spillingBytes > MAX_PENDING_BYTES;
  }

  record(result: Result): void {
    const sizeBytes = lengthOfParts(result.line);
    if (sizeBytes > MAX_PAYLOAD_BYTES) this.#spill(result, sizeBytes);
    else this.#append(result, result.lineClass, 0, result.line);
  }

  /** Notes that an upstream died with the line in flight, and how often with it alone. */
  recordSuspicion(lineNumber: number, deathsAlone: number): void {
    this.#journal.append(lineNumber, "suspect", { extra: deathsAlone }, [], () => {});
    // The line may be sent again at once, and kill again.
    this.#journal.hurry();
  }

  /** Notes the job that an upstream has begun for the line; `onDurable` is called when that is on the disk. */
  recordStarted(lineNumber: number, job: StartedJob, onDurable: () => void): void {
    this.#journal.append(lineNumber, "started", {}, [encodeStartedJob(job)], onDurable);
    this.#journal.hurry();
  }

  /** Has what was recorded made durable without delay: the shard waits for nothing else. */
  hurry(): void {
    this.#journal.hurry();
  }

  #append(
    { lineNumber, lineClass, usage, model }: Result,
    kind: LineClass | "output-blob" | "error-blob",
    extra: number,
    payload: LineParts,
  ): void {
    this.#journal.append(lineNumber, kind, { extra, usage }, payload, () => {
      const { progress, onRecorded } = this.#options;
      if (lineClass === "output") progress.completed++;
      else progress.failed++;
      if (usage) addUsage(progress.usage, usage);
      if (model !== null && lineClass === "output") progress.answeredModel = model;
      this.#lines[lineClass].count++;
      onRecorded();
    });
  }

  #spill(result: Result, sizeBytes: number): void {
    this.#spillingBytes += sizeBytes;
    const spill = this.#writeBlob(result, sizeBytes).finally(() => {
      this.#spills.delete(spill);
      this.#spillingBytes -= sizeBytes;
    });
    this.#spills.add(spill);
  }

  async #writeBlob(result: Result, sizeBytes: number): Promise<void> {
    const { blobs, claim } = this.#options;
    const key = blobKeys.answer(claim.batchId, claim.shardId, claim.epoch, result.lineNumber);
    try {
      const writer = await blobs.create(key);
      try {
        await writer.write(joinParts(result.line));
        await writer.commit();
      } catch (error) {
        await writer.abort();
        throw error;
      }
      const kind = result.lineClass === "output" ? "output-blob" : "error-blob";
      this.#append(result, kind, sizeBytes, [key]);
      // Whoever was in a hurry while the blob was written is so still.
      this.#journal.hurry();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure(error);
  }

  /** Waits for what is under way; answers how many bytes of the journal are durable. */
  async close(): Promise<number> {
    await Promise.all(this.#spills);
    return this.#journal.close();
  }
}
