// Reads many byte ranges of a blob with few reads: ranges that stand close together are read
// together.

import type { BlobReader } from "../core/blob-store.ts";

export interface Span {
  start: number;
  length: number;
}

const MAX_GAP_BYTES = 32 * 1024;
const MAX_READ_BYTES = 4 * 1024 * 1024;

/** Reads spans into the same memory again and again. One call at a time. */
export class SpanReader {
  #memory = new Uint8Array(0);

  /**
   * Calls `visit` with the position of each span and its bytes, which are good until it returns, in
   * the order in which they stand in the blob. Throws when the blob ends before a span does.
   */
  async read(
    reader: BlobReader,
    spans: readonly Span[],
    visit: (nth: number, bytes: Uint8Array) => void,
  ): Promise<void> {
    const startOf = (nth: number) => (spans[nth] as Span).start;
    const order = spans.map((_, nth) => nth).sort((a, b) => startOf(a) - startOf(b));
    for (let from = 0; from < order.length;) {
      const start = startOf(order[from] as number);
      let end = start;
      let to = from;
      for (; to < order.length; to++) {
        const span = spans[order[to] as number] as Span;
        const grown = Math.max(end, span.start + span.length);
        if (to > from && (span.start - end > MAX_GAP_BYTES || grown - start > MAX_READ_BYTES))
          break;
        end = grown;
      }
      const bytes = await reader.read(start, end - start, this.#memoryFor(end - start));
      if (bytes.length !== end - start) throw new Error("a blob is shorter than its index says");
      for (; from < to; from++) {
        const nth = order[from] as number;
        const { start: spanStart, length } = spans[nth] as Span;
        visit(nth, bytes.subarray(spanStart - start, spanStart - start + length));
      }
    }
  }

  #memoryFor(length: number): Uint8Array {
    if (this.#memory.length < length) {
      this.#memory = Buffer.allocUnsafeSlow(Math.max(length, MAX_READ_BYTES));
    }
    return this.#memory;
  }
}
