// Writes the output and error files of a batch from its journals, in the order of the input, a
// window at a time.

import type { BlobReader, BlobStore, BlobWriter } from "../core/blob-store.ts";
import { errorLine, type LineClass } from "../core/result-line.ts";
import { PLAN_ENTRY_BYTES, PLAN_HEADER_BYTES, PlanSlice } from "./plan.ts";
import type { ResultIndex, ResultPlace } from "./result-index.ts";
import { SpanReader } from "./span-reader.ts";

export interface ResultFilesOptions {
  blobs: BlobStore;
  index: ResultIndex;
  /** Keys of the batch's journals, as the index numbers them. */
  journalKeys: readonly string[];
  plan: BlobReader;
  input: BlobReader;
  outputKey: string;
  errorKey: string;
  /** What is said of lines without a result; null when there can be none. */
  unfinished: { code: string; message: string } | null;
  newLineId: () => string;
  /** Throws when the assembling is to be given up. Asked for every window. */
  checkpoint: () => void;
}

/** Sizes of the files; null for one that has no lines, which is then not written. */
export interface WrittenFiles {
  outputBytes: number | null;
  errorBytes: number | null;
}

const WINDOW_BYTES = 2 * 1024 * 1024;
const WINDOW_LINES = 1024;
const COPY_BYTES = 1024 * 1024;
const MAX_OPEN_JOURNALS = 256;

export async function writeResultFiles(options: ResultFilesOptions): Promise<WrittenFiles> {
  const files = new ResultFiles(options);
  try {
    return await files.write();
  } finally {
    await files.close();
  }
}

/** Lines that follow each other in the input, in memory: those of the output, then those of the error file. */
interface Lines {
  kind: "lines";
  output: Uint8Array;
  error: Uint8Array;
  /** Where the next window begins. */
  end: number;
}

/** One line that is in a blob of its own. */
interface BlobLine {
  kind: "blob";
  lineClass: LineClass;
  key: string;
  end: number;
}

class ResultFiles {
  readonly #options: ResultFilesOptions;
  readonly #writers: Partial<Record<LineClass, BlobWriter>> = {};
  readonly #journals = new Map<number, BlobReader>();
  readonly #spans = new SpanReader();
  /** Used in turn: one is being written while the other is filled. */
  readonly #memory: [Uint8Array, Uint8Array] = [new Uint8Array(0), new Uint8Array(0)];
  #loading: Promise<Lines | BlobLine> | null = null;

  constructor(options: ResultFilesOptions) {
    this.#options = options;
  }

  async write(): Promise<WrittenFiles> {
    const { count } = this.#options.index;
    this.#load(0);
    while (this.#loading) {
      const window = await this.#loading;
      this.#loading = null;
      if (window.end < count) this.#load(window.end);
      await this.#put(window);
    }
    await this.#writers.output?.commit();
    await this.#writers.error?.commit();
    return {
      outputBytes: this.#writers.output?.sizeBytes ?? null,
      errorBytes: this.#writers.error?.sizeBytes ?? null,
    };
  }

  /** Begins to load the window that begins at a position. */
  #load(first: number): void {
    this.#options.checkpoint();
    this.#loading = this.#window(first);
    // A failure is told when its turn comes.
    this.#loading.catch(() => undefined);
  }

  async #window(first: number): Promise<Lines | BlobLine> {
    const { index } = this.#options;
    const place = index.place(first);
    if (place.result?.inBlob) return this.#blobLine(place.result, first + 1);
    const places: ResultPlace[] = [];
    let resultBytes = 0;
    for (let at = first; at < index.count && places.length < WINDOW_LINES; at++) {
      const next = index.place(at);
      resultBytes += next.result?.length ?? 0;
      if (next.result?.inBlob || (resultBytes > WINDOW_BYTES && at > first)) break;
      places.push(next);
    }
    return this.#lines(places, first + places.length);
  }

  async #lines(places: readonly ResultPlace[], end: number): Promise<Lines> {
    const unfinished = await this.#unfinishedLines(places);
    const lengthOf = (at: number) => places[at]?.result?.length ?? unfinished.get(at)?.length ?? 0;
    const sizes = { output: 0, error: 0 };
    for (const [at, { result }] of places.entries()) {
      sizes[result?.lineClass ?? "error"] += lengthOf(at);
    }
    const memory = this.#nextMemory(sizes.output + sizes.error);
    const next = { output: 0, error: sizes.output };
    const wanted = new Map<number, { start: number; length: number; to: number }[]>();
    for (const [at, { result }] of places.entries()) {
      const to = next[result?.lineClass ?? "error"];
      next[result?.lineClass ?? "error"] += lengthOf(at);
      if (!result) {
        memory.set(unfinished.get(at) as Uint8Array, to);
        continue;
      }
      const { journal, start, length } = result;
      const spans = wanted.get(journal);
      if (spans) spans.push({ start, length, to });
      else wanted.set(journal, [{ start, length, to }]);
    }
    for (const [journal, spans] of wanted) {
      await this.#spans.read(await this.#journal(journal), spans, (nth, bytes) =>
        memory.set(bytes, spans[nth]?.to),
      );
    }
    const output = memory.subarray(0, sizes.output);
    const error = memory.subarray(sizes.output, sizes.output + sizes.error);
    return { kind: "lines", output, error, end };
  }

  #nextMemory(length: number): Uint8Array {
    const [, other] = this.#memory;
    const memory =
      other.length >= length ? other : Buffer.allocUnsafeSlow(Math.max(length, WINDOW_BYTES));
    this.#memory.unshift(memory);
    this.#memory.length = 2;
    return memory;
  }

  async #blobLine(result: NonNullable<ResultPlace["result"]>, end: number): Promise<BlobLine> {
    const { journal, start, length, lineClass } = result;
    let key = "";
    await this.#spans.read(await this.#journal(journal), [{ start, length }], (_, bytes) => {
      key = new TextDecoder().decode(bytes);
    });
    return { kind: "blob", lineClass, key, end };
  }

  async #journal(number: number): Promise<BlobReader> {
    const open = this.#journals.get(number);
    if (open) return open;
    for (const [oldest, reader] of this.#journals) {
      if (this.#journals.size < MAX_OPEN_JOURNALS) break;
      this.#journals.delete(oldest);
      await reader.close();
    }
    const reader = await this.#options.blobs.open(this.#options.journalKeys[number] ?? "");
    this.#journals.set(number, reader);
    return reader;
  }

  /** Error lines for places that have no result, by position; their custom_ids are read from the input. */
  async #unfinishedLines(places: readonly ResultPlace[]): Promise<Map<number, Uint8Array>> {
    const { plan, input, unfinished, newLineId } = this.#options;
    const lines = new Map<number, Uint8Array>();
    const positions = [...places.keys()].filter((at) => !places[at]?.result);
    if (positions.length === 0) return lines;
    if (!unfinished) throw new Error(`line ${places[positions[0] ?? 0]?.lineNumber} has no result`);
    const entries = positions.map((at) => ({
      start: PLAN_HEADER_BYTES + (places[at]?.planIndex ?? 0) * PLAN_ENTRY_BYTES,
      length: PLAN_ENTRY_BYTES,
    }));
    const customIds = positions.map(() => ({ start: 0, length: 0 }));
    await this.#spans.read(plan, entries, (nth, bytes) => {
      const { lineStart, customIdStart, customIdLength } = new PlanSlice(bytes).entry(0);
      customIds[nth] = { start: lineStart + customIdStart, length: customIdLength };
    });
    // Ids in the order of the input.
    const ids = positions.map(() => newLineId());
    await this.#spans.read(input, customIds, (nth, customId) => {
      lines.set(positions[nth] as number, errorLine(ids[nth] as string, customId, unfinished));
    });
    return lines;
  }

  async #put(window: Lines | BlobLine): Promise<void> {
    if (window.kind === "blob") {
      await this.#copyBlob(window);
      return;
    }
    for (const lineClass of ["output", "error"] as const) {
      const lines = window[lineClass];
      if (lines.length > 0) await (await this.#writer(lineClass)).write(lines);
    }
  }

  async #copyBlob({ lineClass, key }: BlobLine): Promise<void> {
    const writer = await this.#writer(lineClass);
    const blob = await this.#options.blobs.open(key);
    try {
      for (let at = 0; at < blob.sizeBytes; at += COPY_BYTES) {
        await writer.write(await blob.read(at, COPY_BYTES));
      }
    } finally {
      await blob.close();
    }
  }

  async #writer(lineClass: LineClass): Promise<BlobWriter> {
    const open = this.#writers[lineClass];
    if (open) return open;
    const { blobs, outputKey, errorKey } = this.#options;
    const writer = await blobs.create(lineClass === "output" ? outputKey : errorKey);
    this.#writers[lineClass] = writer;
    return writer;
  }

  /** Closes what is open; a file that was not committed leaves no trace. */
  async close(): Promise<void> {
    await this.#loading?.catch(() => undefined);
    for (const reader of this.#journals.values()) await reader.close();
    await this.#writers.output?.abort();
    await this.#writers.error?.abort();
  }
}
