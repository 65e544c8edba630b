// Reads bytes of blocks: from the disk when they are kept there, else from S3, which keeps them for the next.
// Who wants a block that is being fetched shares that fetch. Memory is bounded: so many blocks at a time.

import { GetObjectCommand } from "@aws-sdk/client-s3";
import { NotFoundError } from "../../core/store.ts";
import type { BlockCache } from "./block-cache.ts";
import { BLOCK_BYTES, type Block, type Piece } from "./object-blocks.ts";
import type { S3Connection } from "./s3-connection.ts";
import { isMissing, statusOf, toStoreError } from "./s3-error.ts";
import { plainEtag } from "./s3-listing.ts";
import { forEachAtOnce, Slots } from "./slots.ts";

/** A block being fetched, or fetched and on its way to the disk. */
interface Fetch {
  fetched: Promise<Buffer>;
  /** Whose bytes these still are; at 0 the memory is free. */
  users: number;
}

/** In memory at a time, of all readers. */
const BLOCKS_AT_ONCE = 8;
/** Left for those who wait for their block, when others only read ahead. */
const KEPT_FREE = 2;
const PIECES_AT_ONCE = 8;
/** Of one piece, when its answer breaks off: the SDK repeats a request, not the reading of its answer. */
const ATTEMPTS = 4;

export class BlockReads {
  readonly #connection: S3Connection;
  readonly #cache: BlockCache;
  readonly #fetches = new Map<string, Fetch>();
  readonly #slots = new Slots(BLOCKS_AT_ONCE);
  readonly #spare: Buffer[] = [];

  constructor(connection: S3Connection, cache: BlockCache) {
    this.#connection = connection;
    this.#cache = cache;
  }

  /**
   * Fills `into` with the block's bytes from `offset`. Throws NotFoundError when the object was deleted or replaced.
   * @param isKept whether the whole block is to be fetched and kept when it is not here
   */
  async read(block: Block, offset: number, into: Uint8Array, isKept: boolean): Promise<void> {
    const underWay = this.#fetches.get(block.id);
    if (underWay) return this.#copy(underWay, offset, into);
    if (await this.#cache.read(block.id, offset, into)) return;
    if (!isKept || !this.#cache.accepts(block.length)) {
      return this.#fetchPieces(piecesWithin(block, offset, into.length), into);
    }
    // Another one may have begun it meanwhile.
    return this.#copy(this.#fetches.get(block.id) ?? this.#fetch(block), offset, into);
  }

  /** Fetches a block that will be wanted soon, if there is room for it. */
  readAhead(block: Block): void {
    const isUseless =
      this.#slots.free <= KEPT_FREE ||
      this.#fetches.has(block.id) ||
      this.#cache.has(block.id) ||
      !this.#cache.accepts(block.length);
    if (!isUseless) this.#fetch(block);
  }

  async #copy(fetch: Fetch, offset: number, into: Uint8Array): Promise<void> {
    fetch.users += 1;
    try {
      into.set((await fetch.fetched).subarray(offset, offset + into.length));
    } finally {
      await this.#leave(fetch);
    }
  }

  #fetch(block: Block): Fetch {
    const fetch: Fetch = { fetched: this.#fetchBlock(block), users: 1 };
    this.#fetches.set(block.id, fetch);
    void this.#keep(block, fetch);
    return fetch;
  }

  async #fetchBlock(block: Block): Promise<Buffer> {
    await this.#slots.take();
    const memory = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    await this.#fetchPieces(block.pieces, memory);
    return memory;
  }

  async #keep(block: Block, fetch: Fetch): Promise<void> {
    try {
      const memory = await fetch.fetched;
      await this.#cache.keep(block.id, memory.subarray(0, block.length));
    } catch {
      // Told to who waits for it.
    } finally {
      this.#fetches.delete(block.id);
      this.#slots.release();
      await this.#leave(fetch);
    }
  }

  async #leave(fetch: Fetch): Promise<void> {
    fetch.users -= 1;
    if (fetch.users > 0) return;
    const memory = await fetch.fetched.catch(() => undefined);
    if (memory && this.#spare.length < BLOCKS_AT_ONCE) this.#spare.push(memory);
  }

  /** Fills `into` with the pieces, one behind the other. */
  async #fetchPieces(pieces: readonly Piece[], into: Uint8Array): Promise<void> {
    const places: { piece: Piece; into: Uint8Array }[] = [];
    let at = 0;
    for (const piece of pieces) {
      places.push({ piece, into: into.subarray(at, at + piece.length) });
      at += piece.length;
    }
    await forEachAtOnce(PIECES_AT_ONCE, places, async (place) => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.#fetchPiece(place.piece, place.into);
          return;
        } catch (error) {
          const isBrokenOff = error instanceof Error && error.cause instanceof BrokenOffError;
          if (!isBrokenOff || attempt === ATTEMPTS) throw error;
        }
      }
    });
  }

  async #fetchPiece({ objectKey, etag, start, length }: Piece, into: Uint8Array): Promise<void> {
    try {
      await this.#connection.runRaw(async (client) => {
        const answer = await client.send(
          new GetObjectCommand({
            Bucket: this.#connection.bucket,
            Key: objectKey,
            Range: `bytes=${start}-${start + length - 1}`,
          }),
        );
        const body = answer.Body as AsyncIterable<Uint8Array> & { destroy: () => void };
        // Compared here, because not every server honours If-Match with the ETag that it gave.
        const isSame = plainEtag(answer.ETag) === etag;
        if (!isSame || answer.ContentLength !== length) {
          body.destroy();
          if (!isSame) throw changed(objectKey);
          throw new Error(`${length} bytes were asked for, and ${answer.ContentLength} answered`);
        }
        await fill(into, body);
      });
    } catch (error) {
      // Beyond the end: another object, and a smaller one.
      if (isMissing(error) || statusOf(error) === 416) throw changed(objectKey);
      throw toStoreError(error, `read ${objectKey}`);
    }
  }
}

/** Of an answer that had begun well. */
class BrokenOffError extends Error {
  override readonly name = "BrokenOffError";
}

async function fill(into: Uint8Array, body: AsyncIterable<Uint8Array>): Promise<void> {
  let filled = 0;
  try {
    for await (const chunk of body) {
      into.set(chunk, filled);
      filled += chunk.length;
    }
  } catch (error) {
    throw new BrokenOffError(`the answer broke off after ${filled} bytes`, { cause: error });
  }
  if (filled < into.length) throw new BrokenOffError(`the answer ended after ${filled} bytes`);
}

function changed(objectKey: string): NotFoundError {
  return new NotFoundError(`The object ${objectKey} was deleted or replaced while it was read.`);
}

/** The pieces of a part of a block. */
function piecesWithin({ pieces }: Block, offset: number, length: number): Piece[] {
  const within: Piece[] = [];
  let at = 0;
  for (const piece of pieces) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + length, at + piece.length);
    if (from < to) within.push({ ...piece, start: piece.start + from - at, length: to - from });
    at += piece.length;
  }
  return within;
}
