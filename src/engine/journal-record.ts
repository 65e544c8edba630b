// The journal's format. A journal is a header and then records; every record carries what it is
// about, its checksum, and where the flush that wrote it began.
//
// Header, 16 bytes: "OFPKJRNL", format version u32, zero u32. Record: 56 bytes, little endian,
// then the payload: magic u32, payload length u32, crc32 u32 (of all that follows, payload
// included), line number u32, kind u8, three zero bytes, extra u32, flush start f64, usage 5 × u32
// (input, output, total, cached, reasoning), zero u32.
//
// The flush start tells a torn end from corruption: a flush begins only after the one before it is
// durable. So when a broken record is followed by a good one whose flush began behind it, bytes
// that were durable have changed. Otherwise the broken record was never acknowledged.

import { crc32 } from "node:zlib";
import type { LineParts } from "../core/line-parts.ts";
import type { LineClass } from "../core/result-line.ts";
import { noUsage, type Usage } from "../core/usage.ts";

/** 2: has the kind `started`. */
const JOURNAL_VERSION = 2;
const OLDEST_VERSION = 1;
export const JOURNAL_HEADER_BYTES = 16;
export const RECORD_HEADER_BYTES = 56;
/** A longer line has a blob of its own. */
export const MAX_PAYLOAD_BYTES = 1024 * 1024;
const FILE_MAGIC = new TextEncoder().encode("OFPKJRNL");
const RECORD_MAGIC = 0x52504f1e;
const CRC_FROM = 12;

/**
 * `output`, `error`: the line's result; the payload is the line of that file. `output-blob`,
 * `error-blob`: the same, but the payload is the key of the blob that holds the line, and `extra` its size in bytes.
 * `suspect`: the upstream died with the line in flight; `extra` is how often it did with this line alone.
 * `started`: the upstream has begun a job for the line; the payload is what must be known to follow it (`StartedJob`).
 */
const kinds = ["output", "error", "output-blob", "error-blob", "suspect", "started"] as const;
export type RecordKind = (typeof kinds)[number];

export interface JournalRecord {
  lineNumber: number;
  kind: RecordKind;
  extra: number;
  usage: Usage;
  /** Offset of the payload in the journal. */
  payloadStart: number;
  payloadLength: number;
}

/** Which file a record's line belongs to; null for records that are no results. */
export function classOf(kind: RecordKind): LineClass | null {
  if (kind === "suspect" || kind === "started") return null;
  return kind === "output" || kind === "output-blob" ? "output" : "error";
}

export function encodeJournalHeader(): Uint8Array {
  const header = new Uint8Array(JOURNAL_HEADER_BYTES);
  header.set(FILE_MAGIC);
  new DataView(header.buffer).setUint32(8, JOURNAL_VERSION, true);
  return header;
}

/** Whether the bytes begin with a journal's header. Throws when it is one of another format. */
export function isJournalHeader(bytes: Uint8Array): boolean {
  if (bytes.length < JOURNAL_HEADER_BYTES) return false;
  if (!FILE_MAGIC.every((byte, at) => bytes[at] === byte)) return false;
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
  if (version < OLDEST_VERSION || version > JOURNAL_VERSION) {
    throw new Error(
      `journal of format ${version}; this Offpeak reads formats ${OLDEST_VERSION} to ${JOURNAL_VERSION}`,
    );
  }
  return true;
}

/** Memory into which records are encoded: two views of the same bytes, made once for many records. */
export interface RecordTarget {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** What a record says, but for its payload. */
export interface RecordAbout {
  lineNumber: number;
  kind: RecordKind;
  extra: number;
  /** Null: all zero. */
  usage: Usage | null;
  /** Where in the journal the flush that writes the record begins. */
  flushStart: number;
}

/**
 * Encodes a record at `at`, where it needs RECORD_HEADER_BYTES and the payload's length.
 * @param payloadLength of all `payload`
 */
export function encodeRecord(
  { bytes, view }: RecordTarget,
  at: number,
  about: RecordAbout,
  payload: LineParts,
  payloadLength: number,
): void {
  const { usage } = about;
  view.setUint32(at, RECORD_MAGIC, true);
  view.setUint32(at + 4, payloadLength, true);
  view.setUint32(at + 12, about.lineNumber, true);
  // The three bytes behind the kind are zero.
  view.setUint32(at + 16, kinds.indexOf(about.kind), true);
  view.setUint32(at + 20, about.extra, true);
  view.setFloat64(at + 24, about.flushStart, true);
  view.setUint32(at + 32, usage?.inputTokens ?? 0, true);
  view.setUint32(at + 36, usage?.outputTokens ?? 0, true);
  view.setUint32(at + 40, usage?.totalTokens ?? 0, true);
  view.setUint32(at + 44, usage?.cachedTokens ?? 0, true);
  view.setUint32(at + 48, usage?.reasoningTokens ?? 0, true);
  view.setUint32(at + 52, 0, true);
  let end = at + RECORD_HEADER_BYTES;
  for (const part of payload) {
    if (typeof part === "string") bytes.write(part, end, "latin1");
    else bytes.set(part, end);
    end += part.length;
  }
  const checked = bytes.subarray(at + CRC_FROM, end);
  view.setUint32(at + 8, crc32(checked), true);
}

/** What stands at a place in a journal: a whole record, or not (broken, or cut off by the end of the bytes). */
export type DecodedRecord =
  | { kind: "record"; record: JournalRecord; flushStart: number; end: number }
  | { kind: "broken" }
  | { kind: "short"; needed: number };

/**
 * Decodes the record at `at` of `bytes`.
 * @param base offset of `bytes` in the journal
 */
export function decodeRecord(bytes: Uint8Array, at: number, base: number): DecodedRecord {
  if (at + RECORD_HEADER_BYTES > bytes.length) {
    return { kind: "short", needed: RECORD_HEADER_BYTES };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  if (view.getUint32(0, true) !== RECORD_MAGIC) return { kind: "broken" };
  const payloadLength = view.getUint32(4, true);
  if (payloadLength > MAX_PAYLOAD_BYTES) return { kind: "broken" };
  const end = at + RECORD_HEADER_BYTES + payloadLength;
  if (end > bytes.length) return { kind: "short", needed: end - at };
  const kind = kinds[view.getUint8(16)];
  const crc = crc32(bytes.subarray(at + CRC_FROM, end));
  if (kind === undefined || crc !== view.getUint32(8, true)) return { kind: "broken" };
  const usage: Usage = noUsage();
  usage.inputTokens = view.getUint32(32, true);
  usage.outputTokens = view.getUint32(36, true);
  usage.totalTokens = view.getUint32(40, true);
  usage.cachedTokens = view.getUint32(44, true);
  usage.reasoningTokens = view.getUint32(48, true);
  const record: JournalRecord = {
    lineNumber: view.getUint32(12, true),
    kind,
    extra: view.getUint32(20, true),
    usage,
    payloadStart: base + at + RECORD_HEADER_BYTES,
    payloadLength,
  };
  return { kind: "record", record, flushStart: view.getFloat64(24, true), end };
}

/** Offset of the next place at or behind `from` where a record could begin; -1 when there is none. */
export function findRecordMagic(bytes: Uint8Array, from: number): number {
  const first = RECORD_MAGIC & 0xff;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + 4 > bytes.length) return -1;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    if (view.getUint32(0, true) === RECORD_MAGIC) return at;
  }
  return -1;
}
