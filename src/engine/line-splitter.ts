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
 * The lines of `chunks`. Empty ones are counted and left out; so is a leading byte order mark
 * (offsets stay those of the stream); a last line needs no newline. Yields all lines that end in one chunk together; their bytes are
 * good until the next are asked for.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<SplitLine[]> {
  let number = 0;
  let start = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let tooLong = false;
  let offset = 0;

  const take = (tail: Uint8Array): SplitLine => {
    const whole = heldBytes + tail.length;
    let bytes: Uint8Array | null = null;
    if (!tooLong && whole <= maxLineBytes)
      bytes = held.length ? Buffer.concat([...held, tail]) : tail;
    number++;
    let lineStart = start;
    if (number === 1 && bytes && BYTE_ORDER_MARK.every((byte, at) => bytes?.[at] === byte)) {
      bytes = bytes.subarray(BYTE_ORDER_MARK.length);
      lineStart += BYTE_ORDER_MARK.length;
    }
    held = [];
    heldBytes = 0;
    tooLong = false;
    return { number, start: lineStart, bytes };
  };

  for await (const { buffer, byteOffset, byteLength } of chunks) {
    // A Buffer looks for bytes in native code, here and in whoever reads the lines: a third less
    // time for the whole pass.
    const chunk = Buffer.from(buffer, byteOffset, byteLength);
    const lines: SplitLine[] = [];
    let from = 0;
    for (;;) {
      if (heldBytes === 0) {
        // A file of nothing but line breaks must not cost an object for each.
        for (; isEmptyLine(chunk, from); number++) from += chunk[from] === NEWLINE ? 1 : 2;
        start = offset + from;
      }
      const at = chunk.indexOf(NEWLINE, from);
      if (at < 0) break;
      const line = take(chunk.subarray(from, at));
      if (!isEmpty(line)) lines.push(line);
      from = at + 1;
    }
    offset += chunk.length;
    if (from < chunk.length) {
      heldBytes += chunk.length - from;
      tooLong ||= heldBytes > maxLineBytes;
      if (tooLong) held = [];
      else held.push(chunk.subarray(from));
    }
    if (lines.length > 0) yield lines;
  }
  if (heldBytes === 0) return;
  const last = take(new Uint8Array(0));
  if (!isEmpty(last)) yield [last];
}

function isEmpty({ bytes }: SplitLine): boolean {
  return bytes?.length === 0 || (bytes?.length === 1 && bytes[0] === CARRIAGE_RETURN);
}

/** Whether nothing but a line break stands at `at`. */
function isEmptyLine(chunk: Uint8Array, at: number): boolean {
  const first = chunk[at];
  return first === NEWLINE || (first === CARRIAGE_RETURN && chunk[at + 1] === NEWLINE);
}
