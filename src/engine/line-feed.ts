// Reads the lines of a shard ahead of their sending, so that a free slot never waits for the disk.
// Keeps about READ_AHEAD_BYTES in memory; lines that stand together are read together.

import type { BlobReader } from "../core/blob-store.ts";
import type { PlanSlice } from "./plan.ts";
import { SpareBuffers } from "./spare-buffers.ts";

/** One read of the input, shared by its lines. */
interface Chunk {
  bytes: Buffer;
  /** Lines of it that were not given back. */
  open: number;
}

/** A line that can be sent; give it back with `release`, after which its arrays may change. */
export interface LoadedLine {
  chunk: Chunk;
  /** Its share of the chunk. */
  heldBytes: number;
  /** Position in the shard's plan slice. */
  index: number;
  lineNumber: number;
  body: Uint8Array;
  /** As it stands in the file, quotes included. */
  customId: Uint8Array;
}

export interface LineFeedOptions {
  reader: BlobReader;
  plan: PlanSlice;
  /** Positions in the plan, in the order of sending. */
  indexes: number[];
  /** Called when lines have become available. */
  onReady: () => void;
  /** Called when the input can't be read; the feed is then stopped. */
  onFailure: (error: unknown) => void;
}

const READ_AHEAD_BYTES = 512 * 1024;
const MAX_GAP_BYTES = 16 * 1024;
/** Shared by all shards of the process. */
const readBuffers = new SpareBuffers(READ_AHEAD_BYTES, 16);

export class LineFeed {
  readonly #reader: BlobReader;
  readonly #plan: PlanSlice;
  readonly #onReady: () => void;
  readonly #onFailure: (error: unknown) => void;
  /** Positions still to be read, in order; what is put back comes first. */
  #indexes: number[];
  #at = 0;
  #loaded: LoadedLine[] = [];
  /** Of the loaded lines, the next to be taken. */
  #next = 0;
  #loadedBytes = 0;
  /** Lines of the read under way. */
  #beingRead = 0;
  #reading = false;
  #stopped = false;

  constructor(options: LineFeedOptions) {
    this.#reader = options.reader;
    this.#plan = options.plan;
    this.#indexes = options.indexes;
    this.#onReady = options.onReady;
    this.#onFailure = options.onFailure;
  }

  /** Lines not taken yet, read or not. */
  get remaining(): number {
    return this.#loaded.length - this.#next + this.#beingRead + this.#indexes.length - this.#at;
  }

  get ready(): boolean {
    return this.#next < this.#loaded.length;
  }

  /** Reads ahead if there is need. */
  fill(): void {
    const due = this.#at < this.#indexes.length && this.#loadedBytes < READ_AHEAD_BYTES / 2;
    if (due && !this.#reading && !this.#stopped) void this.#read();
  }

  /** The next line, when one is ready. */
  take(): LoadedLine | undefined {
    const line = this.#loaded[this.#next];
    if (!line) return undefined;
    this.#next++;
    this.#loadedBytes -= line.heldBytes;
    this.fill();
    return line;
  }

  /**
   * The line is done with.
   * @param isUnused false when something else may still hold its bytes
   */
  release({ chunk }: LoadedLine, isUnused: boolean): void {
    // One line that is still held keeps the whole chunk from being used again.
    if (isUnused) chunk.open--;
    if (chunk.open === 0) readBuffers.giveBack(chunk.bytes);
  }

  /** Has the line at this position read and handed out again, before those not yet read. */
  putBack(index: number): void {
    if (this.#at > 0) this.#indexes[--this.#at] = index;
    else this.#indexes.unshift(index);
    this.fill();
  }

  /** The same, but after all others. */
  putLast(index: number): void {
    this.#indexes.push(index);
    this.fill();
  }

  /** Reads and hands out no more. */
  stop(): void {
    this.#stopped = true;
    this.#indexes = [];
    this.#at = 0;
    this.#loaded = [];
    this.#next = 0;
    this.#loadedBytes = 0;
    this.#beingRead = 0;
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      const indexes = this.#nextRun();
      this.#beingRead = indexes.length;
      const lines = await this.#load(indexes);
      if (this.#stopped) return;
      this.#beingRead = 0;
      this.#loaded = [...this.#loaded.slice(this.#next), ...lines];
      this.#next = 0;
      for (const line of lines) this.#loadedBytes += line.heldBytes;
    } catch (error) {
      // Who stops the feed closes its reader, and needs not hear of it.
      if (this.#stopped) return;
      this.stop();
      this.#onFailure(error);
      return;
    } finally {
      this.#reading = false;
    }
    this.fill();
    this.#onReady();
  }

  /** Takes positions whose lines stand close together in the file, up to the read-ahead. */
  #nextRun(): number[] {
    const run: number[] = [];
    let start = 0;
    let end = 0;
    while (this.#at < this.#indexes.length) {
      const index = this.#indexes[this.#at] ?? 0;
      const { lineStart, lineLength } = this.#plan.entry(index);
      const near = lineStart >= end && lineStart - end <= MAX_GAP_BYTES;
      if (run.length > 0 && (!near || lineStart + lineLength - start > READ_AHEAD_BYTES)) break;
      if (run.length === 0) start = lineStart;
      end = lineStart + lineLength;
      run.push(index);
      this.#at++;
    }
    if (this.#at === this.#indexes.length) {
      this.#indexes = [];
      this.#at = 0;
    }
    return run;
  }

  async #load(indexes: number[]): Promise<LoadedLine[]> {
    const entries = indexes.map((index) => this.#plan.entry(index));
    const first = entries[0];
    const last = entries.at(-1);
    if (!first || !last) return [];
    const length = last.lineStart + last.lineLength - first.lineStart;
    // One line of a small read must not hold a large buffer.
    const isRegular = length <= READ_AHEAD_BYTES && length > READ_AHEAD_BYTES / 2;
    const buffer = isRegular ? readBuffers.take() : Buffer.allocUnsafeSlow(length);
    const bytes = await this.#reader.read(first.lineStart, length, buffer);
    if (bytes.length !== length)
      throw new Error("the input file is shorter than when it was planned");
    const chunk: Chunk = { bytes: buffer, open: entries.length };
    const heldBytes = buffer.length / entries.length;
    return entries.map((entry, at) => {
      const start = entry.lineStart - first.lineStart;
      const bodyStart = start + entry.bodyStart;
      const customIdStart = start + entry.customIdStart;
      return {
        chunk,
        heldBytes,
        index: indexes[at] ?? 0,
        lineNumber: entry.lineNumber,
        // A Buffer, which the HTTP client takes as it is.
        body: buffer.subarray(bodyStart, bodyStart + entry.bodyLength),
        customId: buffer.subarray(customIdStart, customIdStart + entry.customIdLength),
      };
    });
  }
}
