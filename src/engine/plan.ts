// The plan of a batch: a binary index with one fixed-size entry for each line, in dispatch order,
// behind a header. Lets any line be found without parsing the input again.
//
// Header, 16 bytes: "OFPKPLAN", format version u32, entry count u32. Entry, 32 bytes, little
// endian: line number u32, line offset f64, line length u32, body offset and length u32, custom_id
// offset u32 and length u16 (both relative to the line; quotes included), checksum u16 (the low half of
// the crc32 of the bytes before it).

import { crc32 } from "node:zlib";
import type { BlobReader } from "../core/blob-store.ts";

const PLAN_VERSION = 1;
export const PLAN_HEADER_BYTES = 16;
export const PLAN_ENTRY_BYTES = 32;
const MAGIC = new TextEncoder().encode("OFPKPLAN");

/** The plan is not as it was written. Nothing may be sent by it. */
export class PlanDamagedError extends Error {
  override readonly name = "PlanDamagedError";
}

export interface PlanEntry {
  /** 1-based, blank lines counted. */
  lineNumber: number;
  /** Byte range of the line in the input file, without its line break. */
  lineStart: number;
  lineLength: number;
  /** Relative to the line's start. */
  bodyStart: number;
  bodyLength: number;
  customIdStart: number;
  customIdLength: number;
}

export function encodePlanHeader(entryCount: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(PLAN_HEADER_BYTES);
  header.set(MAGIC);
  const view = new DataView(header.buffer);
  view.setUint32(8, PLAN_VERSION, true);
  view.setUint32(12, entryCount, true);
  return header;
}

/** The number of entries. Throws when it is not a plan of this format. @internal */
export function decodePlanHeader(header: Uint8Array): number {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const isPlan =
    header.length === PLAN_HEADER_BYTES && MAGIC.every((byte, at) => header[at] === byte);
  if (!isPlan) throw new Error("not a plan: its first bytes are not those of one");
  const version = view.getUint32(8, true);
  if (version !== PLAN_VERSION) {
    throw new Error(`plan of format ${version}; this Offpeak reads format ${PLAN_VERSION}`);
  }
  return view.getUint32(12, true);
}

/** Of the entry at `at`. */
function checksum(view: DataView, at: number): number {
  return crc32(new Uint8Array(view.buffer, view.byteOffset + at, PLAN_ENTRY_BYTES - 2)) & 0xffff;
}

export function encodePlanEntry(view: DataView, at: number, entry: PlanEntry): void {
  view.setUint32(at, entry.lineNumber, true);
  view.setFloat64(at + 4, entry.lineStart, true);
  view.setUint32(at + 12, entry.lineLength, true);
  view.setUint32(at + 16, entry.bodyStart, true);
  view.setUint32(at + 20, entry.bodyLength, true);
  view.setUint32(at + 24, entry.customIdStart, true);
  view.setUint16(at + 28, entry.customIdLength, true);
  view.setUint16(at + 30, checksum(view, at), true);
}

/** A run of plan entries in memory, read without an object for each. */
export class PlanSlice {
  readonly count: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.count = Math.floor(bytes.length / PLAN_ENTRY_BYTES);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  lineNumber(index: number): number {
    return this.#view.getUint32(index * PLAN_ENTRY_BYTES, true);
  }

  /** The first entry whose checksum is wrong; -1 when all are as they were written. */
  firstDamaged(): number {
    for (let index = 0; index < this.count; index++) {
      const at = index * PLAN_ENTRY_BYTES;
      if (this.#view.getUint16(at + 30, true) !== checksum(this.#view, at)) return index;
    }
    return -1;
  }

  entry(index: number): PlanEntry {
    const at = index * PLAN_ENTRY_BYTES;
    return {
      lineNumber: this.#view.getUint32(at, true),
      lineStart: this.#view.getFloat64(at + 4, true),
      lineLength: this.#view.getUint32(at + 12, true),
      bodyStart: this.#view.getUint32(at + 16, true),
      bodyLength: this.#view.getUint32(at + 20, true),
      customIdStart: this.#view.getUint32(at + 24, true),
      customIdLength: this.#view.getUint16(at + 28, true),
    };
  }
}

/** Reads `count` entries from the `first` one on. Throws when the plan is shorter than that. */
export async function readPlanSlice(
  plan: BlobReader,
  first: number,
  count: number,
): Promise<PlanSlice> {
  const start = PLAN_HEADER_BYTES + first * PLAN_ENTRY_BYTES;
  const bytes = await plan.read(start, count * PLAN_ENTRY_BYTES);
  if (bytes.length !== count * PLAN_ENTRY_BYTES) {
    throw new PlanDamagedError(`plan ends early: no entries ${first} to ${first + count - 1}`);
  }
  const slice = new PlanSlice(bytes);
  const damaged = slice.firstDamaged();
  if (damaged >= 0) {
    throw new PlanDamagedError(
      `The plan is damaged at entry ${first + damaged}. Its batch is stopped; restore the file from a backup and restart.`,
    );
  }
  return slice;
}

/** The number of entries of an open plan. */
export async function readPlanCount(plan: BlobReader): Promise<number> {
  return decodePlanHeader(await plan.read(0, PLAN_HEADER_BYTES));
}
