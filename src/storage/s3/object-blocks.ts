// The bytes of a blob or log as blocks, the unit that is fetched and kept: aligned pieces of a large object,
// several small segments of a log together. A block's id names its content: other content has another id.

import { createHash } from "node:crypto";
import type { StoredObject } from "./s3-listing.ts";

export const BLOCK_BYTES = 4 * 1024 * 1024;
/** Segments of a log in one block: each is a request. */
const PIECES_OF_BLOCK = 64;

/** A range of one object. */
export interface Piece {
  objectKey: string;
  etag: string;
  start: number;
  length: number;
}

export interface Block {
  id: string;
  /** Where it is in the blob or log. */
  start: number;
  length: number;
  /** In order, none of them empty. */
  pieces: readonly Piece[];
}

export interface ObjectBlocks {
  readonly sizeBytes: number;
  /** The block with this byte; undefined beyond the end. */
  at(offset: number): Block | undefined;
}

/** The blocks of a blob. */
export function blobBlocks({ objectKey, etag, sizeBytes }: StoredObject): ObjectBlocks {
  return {
    sizeBytes,
    at(offset) {
      if (offset >= sizeBytes) return undefined;
      const start = offset - (offset % BLOCK_BYTES);
      const length = Math.min(BLOCK_BYTES, sizeBytes - start);
      const pieces = [{ objectKey, etag, start, length }];
      return { id: `${objectKey} ${etag} ${start}`, start, length, pieces };
    },
  };
}

/** The blocks of a log that has these segments. */
export function logBlocks(segments: readonly StoredObject[]): ObjectBlocks {
  const blocks: Block[] = [];
  let pieces: Piece[] = [];
  let start = 0;
  let length = 0;
  const endBlock = () => {
    if (pieces.length > 0) blocks.push({ id: idOf(pieces), start, length, pieces });
    start += length;
    length = 0;
    pieces = [];
  };
  for (const piece of segments.flatMap(piecesOf)) {
    if (length + piece.length > BLOCK_BYTES || pieces.length === PIECES_OF_BLOCK) endBlock();
    pieces.push(piece);
    length += piece.length;
  }
  endBlock();
  return {
    sizeBytes: start,
    at: (offset) => (offset < start ? blocks[indexAt(blocks, offset)] : undefined),
  };
}

function piecesOf({ objectKey, etag, sizeBytes }: StoredObject): Piece[] {
  const pieces: Piece[] = [];
  for (let start = 0; start < sizeBytes; start += BLOCK_BYTES) {
    pieces.push({ objectKey, etag, start, length: Math.min(BLOCK_BYTES, sizeBytes - start) });
  }
  return pieces;
}

/** A log grows, so that its last block has more pieces the next time. */
function idOf(pieces: readonly Piece[]): string {
  return createHash("sha256").update(JSON.stringify(pieces)).digest("base64");
}

/** The last block that begins at or before the offset. */
function indexAt(blocks: readonly Block[], offset: number): number {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((blocks[middle] as Block).start <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
