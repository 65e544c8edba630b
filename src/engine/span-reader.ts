// Reads many byte ranges of several blobs with few reads: ranges that stand close together are
// read together.

import type { BlobReader } from "../core/blob-store.ts";

export interface Span {
  start: number;
  length: number;
}

const MAX_GAP_BYTES = 32 * 1024;
const MAX_READ_BYTES = 1024 * 1024;

/**
 * The bytes of each span, in the order asked for. Throws when the blob ends before a span does.
 */
export async function readSpans(reader: BlobReader, spans: readonly Span[]): Promise<Uint8Array[]> {
  const order = spans
    .map((_, at) => at)
    .sort((a, b) => (spans[a]?.start ?? 0) - (spans[b]?.start ?? 0));
  const results = new Array<Uint8Array>(spans.length);
  for (let from = 0; from < order.length;) {
    const start = spans[order[from] ?? 0]?.start ?? 0;
    let end = start;
    let to = from;
    for (; to < order.length; to++) {
      const span = spans[order[to] ?? 0];
      if (!span) break;
      const grown = Math.max(end, span.start + span.length);
      if (to > from && (span.start - end > MAX_GAP_BYTES || grown - start > MAX_READ_BYTES)) break;
      end = grown;
    }
    const bytes = await reader.read(start, end - start);
    if (bytes.length !== end - start) throw new Error("a blob is shorter than its index says");
    for (const at of order.slice(from, to)) {
      const span = spans[at];
      // A copy, or a few bytes would keep what was read between them in memory.
      if (span) results[at] = bytes.slice(span.start - start, span.start - start + span.length);
    }
    from = to;
  }
  return results;
}
