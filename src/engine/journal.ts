// Writes the journal of one shard under one epoch. A result counts once it is durable: `append`
// calls back then. Each flush takes all that has gathered and begins when the last one returns (a
// little later while records come fast), so that the load itself makes the batches; where a flush is dear
// it waits longer, until somebody waits for it.

import { setImmediate, setTimeout } from "node:timers/promises";
import type { BlobLog, BlobStore } from "../core/blob-store.ts";
import type { LineParts } from "../core/line-parts.ts";
import type { Usage } from "../core/usage.ts";
import { encodeJournalHeader, JOURNAL_HEADER_BYTES, type RecordKind } from "./journal-record.ts";
import { RecordBuffer } from "./record-buffer.ts";

/**
 * A flush takes the event loop about 0.2 ms, whatever it holds. So when records come fast, more of them are
 * waited for: nothing else waits meanwhile, and at 64 in flight and no latency it is a tenth more lines a second.
 */
const GATHERING_MS = 4;
const MANY_RECORDS = 16;
/** So much is flushed at once, however dear a flush is: it is worth its price, and memory is bounded. */
const ENOUGH_BYTES = 1024 * 1024;

export interface JournalOptions {
  blobs: BlobStore;
  key: string;
  /** Told when a flush begins; what it answers is called when the flush ends. */
  beginCommit: () => (isDurable: boolean) => void;
  /** The journal takes no more: the disk failed or is full. What was pending is not recorded. Called once. */
  onFailure: (error: unknown) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  #log: BlobLog | null = null;
  readonly #records = new RecordBuffer();
  /** Of the records that gather: called once they are durable. */
  #onDurable: (() => void)[] = [];
  /** Where the flush of the records that gather will begin. */
  #flushStart = JOURNAL_HEADER_BYTES;
  #flushingBytes = 0;
  #flushing: Promise<void> | null = null;
  /** When the last flush began, on the clock of `performance`. */
  #flushedMs = Number.NEGATIVE_INFINITY;
  /** Somebody waits for what gathers now. */
  #hurried = false;
  #closing = false;
  /** While the next flush is being put off: ends that. */
  #flushNow: (() => void) | null = null;
  #failed = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Bytes that are durable. */
  get durableBytes(): number {
    return this.#log?.sizeBytes ?? 0;
  }

  /** Bytes that are not durable yet. */
  get pendingBytes(): number {
    return this.#failed ? 0 : this.#records.sizeBytes + this.#flushingBytes;
  }

  /** Takes a record. `onDurable` is called when it counts; never, when the journal fails before. */
  append(
    lineNumber: number,
    kind: RecordKind,
    about: { extra?: number; usage?: Usage | null },
    payload: LineParts,
    onDurable: () => void,
  ): void {
    if (this.#failed) return;
    const { extra = 0, usage = null } = about;
    const flushStart = this.#flushStart;
    this.#records.append({ lineNumber, kind, extra, usage, flushStart }, payload);
    this.#onDurable.push(onDurable);
    this.#flushing ??= this.#flush();
    if (this.#flushNow && this.#records.sizeBytes >= ENOUGH_BYTES) this.#flushNow();
  }

  /** Has what was appended flushed without delay: somebody waits for it. */
  hurry(): void {
    if (this.#onDurable.length === 0) return;
    this.#hurried = true;
    this.#flushNow?.();
  }

  async #flush(): Promise<void> {
    try {
      // Answers that arrive in the same turn of the event loop share the flush.
      await setImmediate();
      const log = this.#log ?? (await this.#timed(() => this.#begin()));
      while (this.#onDurable.length > 0) {
        if (log.appendEveryMs > 0) await this.#untilDue(log.appendEveryMs);
        const records = await this.#flushOnce(log);
        if (records >= MANY_RECORDS) await setTimeout(GATHERING_MS);
      }
    } catch (error) {
      this.#failed = true;
      this.#records.take();
      this.#onDurable = [];
      this.#options.onFailure(error);
    } finally {
      this.#flushing = null;
    }
  }

  /** Waits until the last flush began so long ago, or until enough has gathered, or somebody waits for it. */
  async #untilDue(appendEveryMs: number): Promise<void> {
    const waitMs = this.#flushedMs + appendEveryMs - performance.now();
    const isDue = this.#hurried || this.#closing || this.#records.sizeBytes >= ENOUGH_BYTES;
    if (isDue || waitMs <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = globalThis.setTimeout(resolve, waitMs);
    this.#flushNow = resolve;
    await promise;
    clearTimeout(timer);
    this.#flushNow = null;
  }

  /** Answers how many records it wrote. */
  async #flushOnce(log: BlobLog): Promise<number> {
    const onDurable = this.#onDurable;
    this.#onDurable = [];
    this.#flushingBytes = this.#records.sizeBytes;
    this.#flushStart += this.#flushingBytes;
    const blocks = this.#records.take();
    this.#hurried = false;
    this.#flushedMs = performance.now();
    await this.#timed(() => log.append(blocks.map(({ bytes, used }) => bytes.subarray(0, used))));
    this.#records.giveBack(blocks);
    this.#flushingBytes = 0;
    for (const call of onDurable) call();
    return onDurable.length;
  }

  async #begin(): Promise<BlobLog> {
    this.#log = await this.#options.blobs.createLog(this.#options.key);
    await this.#log.append([encodeJournalHeader()]);
    return this.#log;
  }

  async #timed<T>(write: () => Promise<T>): Promise<T> {
    const end = this.#options.beginCommit();
    let isDurable = false;
    try {
      const written = await write();
      isDurable = true;
      return written;
    } finally {
      end(isDurable);
    }
  }

  /** Waits until nothing is pending and closes the file. Answers how many bytes are durable. */
  async close(): Promise<number> {
    this.#closing = true;
    this.#flushNow?.();
    while (this.#flushing) await this.#flushing;
    await this.#log?.close();
    return this.durableBytes;
  }
}
