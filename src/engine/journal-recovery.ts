// Reads journals: after a take-over, to find how much of an older one counts; and for assembling.

import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { NotFoundError } from "../core/store.ts";
import {
  decodeRecord,
  findRecordMagic,
  isJournalHeader,
  JOURNAL_HEADER_BYTES,
  type JournalRecord,
  MAX_PAYLOAD_BYTES,
  RECORD_HEADER_BYTES,
} from "./journal-record.ts";

/** Bytes that had been durable have changed. Nothing may be decided from this journal by a program. */
export class JournalCorruptError extends Error {
  override readonly name = "JournalCorruptError";

  constructor(key: string, offset: number, evidence: number) {
    super(
      `Journal ${key} is damaged: the record at byte ${offset} is broken, but a later one at byte ${evidence} ` +
        "shows that it had been durable. Results may be lost, so its batch is stopped; restore the file from a backup and restart.",
    );
  }
}

/** A chunk and what the crc32 of the one before it touched stay in the processor's cache. */
const CHUNK_BYTES = 256 * 1024;
const MAX_RECORD_BYTES = RECORD_HEADER_BYTES + MAX_PAYLOAD_BYTES;

/**
 * Calls `visit` with each record of the journal and its payload, which may change afterwards, and answers how many of its bytes count: those up to the last whole
 * record; 0 when there is no journal. Throws JournalCorruptError.
 * @param limitBytes read no further: the seal, when there is one
 */
export async function readJournal(
  blobs: BlobStore,
  key: string,
  limitBytes: number | null,
  visit: (record: JournalRecord, payload: Uint8Array) => void,
): Promise<number> {
  if (limitBytes === 0) return 0;
  let reader: BlobReader;
  try {
    reader = await blobs.open(key);
  } catch (error) {
    if (error instanceof NotFoundError && limitBytes === null) return 0;
    throw error;
  }
  try {
    const end = Math.min(limitBytes ?? reader.sizeBytes, reader.sizeBytes);
    const accepted = await scan(reader, key, end, visit);
    if (limitBytes !== null && accepted !== limitBytes) {
      throw new JournalCorruptError(key, accepted, limitBytes);
    }
    return accepted;
  } finally {
    await reader.close();
  }
}

async function scan(
  reader: BlobReader,
  key: string,
  end: number,
  visit: (record: JournalRecord, payload: Uint8Array) => void,
): Promise<number> {
  if (!isJournalHeader(await reader.read(0, Math.min(JOURNAL_HEADER_BYTES, end)))) {
    await refuseCorruption(reader, key, 0, end);
    return 0;
  }
  let base = JOURNAL_HEADER_BYTES;
  const chunks = new ChunksAhead(reader, base, end);
  try {
    for (;;) {
      const bytes = await chunks.next();
      let at = 0;
      let decoded = decodeRecord(bytes, at, base);
      while (decoded.kind === "record") {
        const payload = bytes.subarray(decoded.end - decoded.record.payloadLength, decoded.end);
        visit(decoded.record, payload);
        at = decoded.end;
        decoded = decodeRecord(bytes, at, base);
      }
      base += at;
      // Cut off by the chunk, not by the end of the journal: the next one has the rest.
      const isCutByChunk = decoded.kind === "short" && base + decoded.needed <= end;
      if (!isCutByChunk) {
        if (base < end) await refuseCorruption(reader, key, base, end);
        return base;
      }
      chunks.keep(bytes.subarray(at));
    }
  } finally {
    await chunks.close();
  }
}

/**
 * Reads chunk after chunk into the same two pieces of memory, one ahead of what is looked at: half
 * the time of reading each when it is wanted, into memory of its own.
 */
class ChunksAhead {
  readonly #reader: BlobReader;
  readonly #end: number;
  readonly #chunkBytes: number;
  /** In front of a chunk is room for what is kept of the one before it. */
  #memory: Uint8Array;
  #memoryAhead: Uint8Array;
  #keptBytes = 0;
  #next: number;
  #ahead: Promise<Uint8Array>;

  constructor(reader: BlobReader, start: number, end: number) {
    this.#reader = reader;
    this.#next = start;
    this.#end = end;
    this.#chunkBytes = Math.min(CHUNK_BYTES, end - start);
    this.#memory = Buffer.allocUnsafeSlow(MAX_RECORD_BYTES + this.#chunkBytes);
    this.#memoryAhead = Buffer.allocUnsafeSlow(MAX_RECORD_BYTES + this.#chunkBytes);
    this.#ahead = this.#read();
  }

  /** What was kept and the chunk behind it; good until the call after the next. */
  async next(): Promise<Uint8Array> {
    const chunk = await this.#ahead;
    [this.#memory, this.#memoryAhead] = [this.#memoryAhead, this.#memory];
    this.#ahead = this.#read();
    const kept = this.#keptBytes;
    this.#keptBytes = 0;
    return this.#memory.subarray(MAX_RECORD_BYTES - kept, MAX_RECORD_BYTES + chunk.length);
  }

  /** Has the next chunk follow `rest`, which is the end of this one. */
  keep(rest: Uint8Array): void {
    this.#memoryAhead.set(rest, MAX_RECORD_BYTES - rest.length);
    this.#keptBytes = rest.length;
  }

  async close(): Promise<void> {
    await this.#ahead.catch(() => undefined);
  }

  #read(): Promise<Uint8Array> {
    const length = Math.min(this.#chunkBytes, this.#end - this.#next);
    const into = this.#memoryAhead.subarray(MAX_RECORD_BYTES, MAX_RECORD_BYTES + length);
    const chunk = this.#reader.read(this.#next, length, into);
    this.#next += length;
    // A failure is told when its turn comes.
    chunk.catch(() => undefined);
    return chunk;
  }
}

/** Throws when a good record behind the broken one belongs to a later flush. */
async function refuseCorruption(
  reader: BlobReader,
  key: string,
  broken: number,
  end: number,
): Promise<void> {
  let base = broken + 1;
  let wanted = CHUNK_BYTES;
  while (base < end) {
    const bytes = await reader.read(base, Math.min(wanted, end - base));
    wanted = CHUNK_BYTES;
    let next = bytes.length;
    for (let at = findRecordMagic(bytes, 0); at >= 0; at = findRecordMagic(bytes, at + 1)) {
      const decoded = decodeRecord(bytes, at, base);
      if (decoded.kind === "record" && decoded.flushStart > broken) {
        throw new JournalCorruptError(key, broken, base + at);
      }
      if (decoded.kind === "short" && base + at + decoded.needed <= end) {
        next = at;
        wanted = Math.max(CHUNK_BYTES, decoded.needed);
        break;
      }
    }
    // Three bytes of overlap, for a magic number that spans two chunks.
    base += next === bytes.length ? Math.max(1, next - 3) : next;
    if (base + 3 >= end) return;
  }
}
