// Writes the output and error files of a batch from its journals, in the order of the input, a
// window at a time.

import type { BlobReader, BlobStore, BlobWriter } from "../core/blob-store.ts";
import { errorLine, type LineClass } from "../core/result-line.ts";
import { PLAN_ENTRY_BYTES, PLAN_HEADER_BYTES, PlanSlice } from "./plan.ts";
import type { ResultIndex, ResultPlace } from "./result-index.ts";
import { readSpans } from "./span-reader.ts";

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

const WINDOW_BYTES = 1024 * 1024;
const WINDOW_LINES = 1024;
const COPY_BYTES = 1024 * 1024;
const MAX_OPEN_JOURNALS = 64;

export async function writeResultFiles(options: ResultFilesOptions): Promise<WrittenFiles> {
  const files = new ResultFiles(options);
  try {
    return await files.write();
  } finally {
    await files.close();
  }
}

class ResultFiles {
  readonly #options: ResultFilesOptions;
  readonly #writers: Partial<Record<LineClass, BlobWriter>> = {};
  readonly #journals = new Map<number, BlobReader>();

  constructor(options: ResultFilesOptions) {
    this.#options = options;
  }

  async write(): Promise<WrittenFiles> {
    let window: ResultPlace[] = [];
    let windowBytes = 0;
    for (const place of this.#options.index.places()) {
      window.push(place);
      windowBytes += place.result?.length ?? 0;
      if (windowBytes >= WINDOW_BYTES || window.length >= WINDOW_LINES) {
        await this.#writeWindow(window);
        window = [];
        windowBytes = 0;
      }
    }
    await this.#writeWindow(window);
    await this.#writers.output?.commit();
    await this.#writers.error?.commit();
    return {
      outputBytes: this.#writers.output?.sizeBytes ?? null,
      errorBytes: this.#writers.error?.sizeBytes ?? null,
    };
  }

  async #writeWindow(places: readonly ResultPlace[]): Promise<void> {
    this.#options.checkpoint();
    const lines = new Array<Uint8Array>(places.length);
    const wanted = new Map<number, number[]>();
    const unfinished: number[] = [];
    for (const [at, { result }] of places.entries()) {
      if (!result) {
        unfinished.push(at);
        continue;
      }
      const positions = wanted.get(result.journal);
      if (positions) positions.push(at);
      else wanted.set(result.journal, [at]);
    }
    for (const [journal, positions] of wanted) {
      const spans = positions.map((at) => places[at]?.result ?? { start: 0, length: 0 });
      const bytes = await readSpans(await this.#journal(journal), spans);
      positions.forEach((at, nth) => (lines[at] = bytes[nth] ?? new Uint8Array(0)));
    }
    await this.#makeUnfinished(unfinished, places, lines);
    await this.#put(places, lines);
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

  /** Error lines for lines that have no result; their custom_ids are read from the input. */
  async #makeUnfinished(
    positions: readonly number[],
    places: readonly ResultPlace[],
    lines: Uint8Array[],
  ): Promise<void> {
    const { plan, input, unfinished, newLineId } = this.#options;
    if (positions.length === 0) return;
    if (!unfinished) throw new Error(`line ${places[positions[0] ?? 0]?.lineNumber} has no result`);
    const entries = await readSpans(
      plan,
      positions.map((at) => ({
        start: PLAN_HEADER_BYTES + (places[at]?.planIndex ?? 0) * PLAN_ENTRY_BYTES,
        length: PLAN_ENTRY_BYTES,
      })),
    );
    const customIds = await readSpans(
      input,
      entries.map((bytes) => {
        const { lineStart, customIdStart, customIdLength } = new PlanSlice(bytes).entry(0);
        return { start: lineStart + customIdStart, length: customIdLength };
      }),
    );
    positions.forEach((at, nth) => {
      lines[at] = errorLine(newLineId(), customIds[nth] ?? new Uint8Array(0), unfinished);
    });
  }

  /** Hands the window's lines to the two files, in order. */
  async #put(places: readonly ResultPlace[], lines: readonly Uint8Array[]): Promise<void> {
    const gathered: Record<LineClass, Uint8Array[]> = { output: [], error: [] };
    for (const [at, { result }] of places.entries()) {
      const lineClass = result?.lineClass ?? "error";
      const line = lines[at] ?? new Uint8Array(0);
      if (!result?.inBlob) {
        gathered[lineClass].push(line);
        continue;
      }
      await this.#append(lineClass, gathered[lineClass].splice(0));
      await this.#copyBlob(lineClass, new TextDecoder().decode(line));
    }
    await this.#append("output", gathered.output);
    await this.#append("error", gathered.error);
  }

  async #append(lineClass: LineClass, lines: readonly Uint8Array[]): Promise<void> {
    if (lines.length > 0) await (await this.#writer(lineClass)).write(Buffer.concat(lines));
  }

  async #copyBlob(lineClass: LineClass, key: string): Promise<void> {
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
    for (const reader of this.#journals.values()) await reader.close();
    await this.#writers.output?.abort();
    await this.#writers.error?.abort();
  }
}
