// Reads journals: after a take-over, to find how much of an older one counts; and for assembling.

import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { NotFoundError } from "../core/store.ts";
import {
  decodeRecord,
  findRecordMagic,
  isJournalHeader,
  JOURNAL_HEADER_BYTES,
  type JournalRecord,
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

const CHUNK_BYTES = 1024 * 1024;

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
  let wanted = CHUNK_BYTES;
  while (base < end) {
    const bytes = await reader.read(base, Math.min(wanted, end - base));
    let at = 0;
    wanted = CHUNK_BYTES;
    for (;;) {
      const decoded = decodeRecord(bytes, at, base);
      if (decoded.kind === "record") {
        const payload = bytes.subarray(decoded.end - decoded.record.payloadLength, decoded.end);
        visit(decoded.record, payload);
        at = decoded.end;
        continue;
      }
      // Cut off by the chunk, not by the end of the journal: read on from there.
      const isCutByChunk = decoded.kind === "short" && base + at + decoded.needed <= end;
      if (!isCutByChunk) {
        if (base + at < end) await refuseCorruption(reader, key, base + at, end);
        return base + at;
      }
      wanted = Math.max(CHUNK_BYTES, decoded.needed);
      break;
    }
    base += at;
  }
  return base;
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
