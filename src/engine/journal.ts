// Writes the journal of one shard under one epoch. A result counts once it is durable: `append`
// calls back then. Each flush takes all that has gathered and begins when the last one returns, so
// that the load itself makes the batches.

import type { BlobLog, BlobStore } from "../core/blob-store.ts";
import type { Usage } from "../core/usage.ts";
import {
  encodeJournalHeader,
  encodeRecordHeader,
  type RecordKind,
  sealRecord,
} from "./journal-record.ts";

interface Pending {
  header: Uint8Array;
  payload: Uint8Array;
  onDurable: () => void;
}

export interface JournalOptions {
  blobs: BlobStore;
  key: string;
  /** Told how long each flush took, in seconds. */
  onCommit: (seconds: number) => void;
  /** The journal takes no more: the disk failed or is full. What was pending is not recorded. Called once. */
  onFailure: (error: unknown) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  #log: BlobLog | null = null;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #flushing: Promise<void> | null = null;
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
    return this.#pendingBytes;
  }

  /** Takes a record. `onDurable` is called when it counts; never, when the journal fails before. */
  append(
    lineNumber: number,
    kind: RecordKind,
    about: { extra?: number; usage?: Usage | null },
    payload: Uint8Array,
    onDurable: () => void,
  ): void {
    if (this.#failed) return;
    const header = encodeRecordHeader(
      lineNumber,
      kind,
      about.extra ?? 0,
      about.usage ?? null,
      payload.length,
    );
    this.#pending.push({ header, payload, onDurable });
    this.#pendingBytes += header.length + payload.length;
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // Answers that have arrived in the same turn of the event loop share the flush.
    await Promise.resolve();
    try {
      if (!this.#log) {
        this.#log = await this.#options.blobs.createLog(this.#options.key);
        await this.#log.append([encodeJournalHeader()]);
      }
      while (this.#pending.length > 0) {
        const batch = this.#pending;
        this.#pending = [];
        const parts: Uint8Array[] = [];
        let bytes = 0;
        const flushStart = this.#log.sizeBytes;
        for (const { header, payload } of batch) {
          sealRecord(header, payload, flushStart);
          parts.push(header, payload);
          bytes += header.length + payload.length;
        }
        const startedMs = performance.now();
        await this.#log.append(parts);
        this.#options.onCommit((performance.now() - startedMs) / 1000);
        this.#pendingBytes -= bytes;
        for (const { onDurable } of batch) onDurable();
      }
    } catch (error) {
      this.#failed = true;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#options.onFailure(error);
    } finally {
      this.#flushing = null;
    }
  }

  /** Waits until nothing is pending and closes the file. Answers how many bytes are durable. */
  async close(): Promise<number> {
    while (this.#flushing) await this.#flushing;
    await this.#log?.close();
    return this.durableBytes;
  }
}
