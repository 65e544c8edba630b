// Where the result of each line of a batch stands in its journals: about 30 bytes a line, by line
// number, so that output can be written in the order of the input.

import type { LineClass } from "../core/result-line.ts";
import { countingSort } from "./counting-sort.ts";
import type { PlanSlice } from "./plan.ts";

/** Where one line's result is. */
export interface ResultPlace {
  lineNumber: number;
  /** Position of the line in the plan. */
  planIndex: number;
  /** Null: the line has no result. */
  result: {
    lineClass: LineClass;
    /** True: the journal holds the key of a blob, and the blob the line. */
    inBlob: boolean;
    /** Position of the journal in the list of the batch's journals. */
    journal: number;
    start: number;
    length: number;
  } | null;
}

const NONE = 0;
const OUTPUT = 1;
const ERROR = 2;
const IN_BLOB = 4;

export class ResultIndex {
  /** Lines of the batch. */
  readonly count: number;
  /** Sorted once all are added; the others are aligned with it. */
  #lineNumbers: Uint32Array;
  #planIndexes: Uint32Array;
  readonly #flags: Uint8Array;
  readonly #journals: Uint32Array;
  readonly #starts: Float64Array;
  readonly #lengths: Uint32Array;
  #added = 0;

  constructor(count: number) {
    this.count = count;
    this.#lineNumbers = new Uint32Array(count);
    this.#planIndexes = new Uint32Array(count);
    this.#flags = new Uint8Array(count);
    this.#journals = new Uint32Array(count);
    this.#starts = new Float64Array(count);
    this.#lengths = new Uint32Array(count);
  }

  /** Adds the next entries of the plan, in the order of the plan. */
  addEntries(slice: PlanSlice): void {
    for (let index = 0; index < slice.count; index++) {
      this.#lineNumbers[this.#added] = slice.lineNumber(index);
      this.#planIndexes[this.#added] = this.#added;
      this.#added++;
    }
  }

  /** Call it when all entries are added, and before results are. */
  sort(): void {
    const lines = this.#lineNumbers;
    if (lines.every((line, at) => at === 0 || (lines[at - 1] ?? 0) < line)) return;
    // By the lower half of the numbers and then by the upper one: comparing a million of them would
    // hold up the event loop for a second.
    for (const shift of [0, 16]) {
      const halves = lines.map((line) => (line >>> shift) & 0xffff);
      this.#planIndexes = countingSort(this.#planIndexes, halves);
    }
    this.#lineNumbers = this.#planIndexes.map((index) => lines[index] ?? 0);
  }

  /** Notes the place of a line's result; the first one counts. Throws for a line that the plan lacks. */
  addResult(lineNumber: number, result: NonNullable<ResultPlace["result"]>): void {
    const at = this.#find(lineNumber);
    if (this.#flags[at] !== NONE) return;
    this.#flags[at] =
      (result.lineClass === "output" ? OUTPUT : ERROR) | (result.inBlob ? IN_BLOB : 0);
    this.#journals[at] = result.journal;
    this.#starts[at] = result.start;
    this.#lengths[at] = result.length;
  }

  #find(lineNumber: number): number {
    // Where it is in an input without blank lines.
    if (this.#lineNumbers[lineNumber - 1] === lineNumber) return lineNumber - 1;
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const line = this.#lineNumbers[middle] ?? 0;
      if (line === lineNumber) return middle;
      if (line < lineNumber) low = middle + 1;
      else high = middle - 1;
    }
    throw new Error(`a journal has a result for line ${lineNumber}, which the plan does not have`);
  }

  /** The line at a position in the input, lines that are not requests left out. */
  place(at: number): ResultPlace {
    const flags = this.#flags[at] ?? NONE;
    return {
      lineNumber: this.#lineNumbers[at] ?? 0,
      planIndex: this.#planIndexes[at] ?? 0,
      result:
        flags === NONE
          ? null
          : {
              lineClass: (flags & OUTPUT) !== 0 ? "output" : "error",
              inBlob: (flags & IN_BLOB) !== 0,
              journal: this.#journals[at] ?? 0,
              start: this.#starts[at] ?? 0,
              length: this.#lengths[at] ?? 0,
            },
    };
  }
}
