// Cuts a stream of bytes into lines without copying, except for lines that span two chunks.

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

export interface SplitLine {
  /** 1-based. */
  number: number;
  /** Offset of its first byte in the stream. */
  start: number;
  /** Without the newline; null when the line is longer than allowed. */
  bytes: Uint8Array | null;
}

/**
 * Empty lines are counted and left out; so is a leading byte order mark (offsets stay those of the
 * stream); a last line needs no newline.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #number = 0;
  /** Of the line that is being read. */
  #start = 0;
  /** Bytes of the stream before the current chunk. */
  #offset = 0;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #tooLong = false;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /**
   * The lines that end in the next chunk. Their bytes are those of the chunk, which is no longer
   * needed once all of them were taken.
   */
  *split({ buffer, byteOffset, byteLength }: Uint8Array): Generator<SplitLine> {
    // A Buffer looks for bytes in native code, here and in whoever reads the lines: a third less
    // time for the whole pass.
    const chunk = Buffer.from(buffer, byteOffset, byteLength);
    let from = 0;
    for (;;) {
      if (this.#heldBytes === 0) {
        // A file of nothing but line breaks must not cost an object for each.
        for (; isEmptyLine(chunk, from); this.#number++) from += chunk[from] === NEWLINE ? 1 : 2;
        this.#start = this.#offset + from;
      }
      const at = chunk.indexOf(NEWLINE, from);
      if (at < 0) break;
      const line = this.#take(chunk.subarray(from, at));
      if (!isEmpty(line)) yield line;
      from = at + 1;
    }
    this.#offset += chunk.length;
    if (from === chunk.length) return;
    this.#heldBytes += chunk.length - from;
    this.#tooLong ||= this.#heldBytes > this.#maxLineBytes;
    if (this.#tooLong) this.#held = [];
    else this.#held.push(Buffer.from(chunk.subarray(from)));
  }

  /** The last line, when it has no newline. */
  *end(): Generator<SplitLine> {
    if (this.#heldBytes === 0) return;
    const last = this.#take(new Uint8Array(0));
    if (!isEmpty(last)) yield last;
  }

  #take(tail: Uint8Array): SplitLine {
    let bytes: Uint8Array | null = null;
    if (!this.#tooLong && this.#heldBytes + tail.length <= this.#maxLineBytes) {
      bytes = this.#heldBytes > 0 ? Buffer.concat([...this.#held, tail]) : tail;
    }
    this.#number++;
    let start = this.#start;
    if (this.#number === 1 && bytes && BYTE_ORDER_MARK.every((byte, at) => bytes?.[at] === byte)) {
      bytes = bytes.subarray(BYTE_ORDER_MARK.length);
      start += BYTE_ORDER_MARK.length;
    }
    this.#held = [];
    this.#heldBytes = 0;
    this.#tooLong = false;
    return { number: this.#number, start, bytes };
  }
}

function isEmpty({ bytes }: SplitLine): boolean {
  return bytes?.length === 0 || (bytes?.length === 1 && bytes[0] === CARRIAGE_RETURN);
}

/** Whether nothing but a line break stands at `at`. */
function isEmptyLine(chunk: Uint8Array, at: number): boolean {
  const first = chunk[at];
  return first === NEWLINE || (first === CARRIAGE_RETURN && chunk[at + 1] === NEWLINE);
}
