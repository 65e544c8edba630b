// Shows how far a migration is: on a terminal in one line that is drawn again and again, elsewhere in a line every
// few seconds.
import type { MigrationProgress } from "../core/migration-progress.ts";

const REDRAW_MS = 250;
const NEXT_LINE_MS = 5_000;
/** The rate that is shown is that of so many milliseconds. */
const RATE_OVER_MS = 5_000;
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const CLEAR_LINE = "\r\u001B[K";

export interface ProgressOutput {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export class ProgressDisplay {
  readonly #output: ProgressOutput;
  readonly #nowMs: () => number;
  #timer: NodeJS.Timeout | undefined;
  #latest: Readonly<MigrationProgress> | undefined;
  #shown = "";
  /** What had been copied when it was drawn, for the rate. */
  readonly #samples: { atMs: number; bytes: number }[] = [];

  constructor(output: ProgressOutput, nowMs: () => number = () => performance.now()) {
    this.#output = output;
    this.#nowMs = nowMs;
  }

  start(): void {
    this.#samples.push({ atMs: this.#nowMs(), bytes: 0 });
    const everyMs = this.#output.isTTY ? REDRAW_MS : NEXT_LINE_MS;
    this.#timer = setInterval(() => this.draw(), everyMs).unref();
  }

  show(progress: Readonly<MigrationProgress>): void {
    this.#latest = progress;
  }

  /** Nothing of the line that is drawn stays. Harmless when repeated. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#shown !== "" && this.#output.isTTY) this.#output.write(CLEAR_LINE);
    this.#shown = "";
  }

  draw(): void {
    if (this.#latest === undefined) return;
    const line = this.#describe(this.#latest);
    if (this.#output.isTTY) {
      this.#output.write(`${CLEAR_LINE}${line.slice(0, (this.#output.columns ?? 80) - 1)}`);
    } else if (line !== this.#shown) {
      this.#output.write(`${line}\n`);
    }
    this.#shown = line;
  }

  #describe(progress: Readonly<MigrationProgress>): string {
    const { step, table, rows, rowsTotal, blobs, blobsTotal, bytes, bytesTotal } = progress;
    const bytesPerSecond = this.#rateAt(bytes);
    if (step !== "copying blobs") {
      const where = table === null ? "" : `, ${table}`;
      return `${step}${where}: ${count(rows)} of ${count(rowsTotal)} rows`;
    }
    const rate = `${size(bytesPerSecond)}/s`;
    return `${step}: ${count(blobs)} of ${count(blobsTotal)}, ${size(bytes)} of ${size(bytesTotal)}, ${rate}`;
  }

  /** Bytes per second of the last while. */
  #rateAt(bytes: number): number {
    const atMs = this.#nowMs();
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && atMs - this.#samples[1]!.atMs >= RATE_OVER_MS) {
      this.#samples.shift();
    }
    const first = this.#samples[0]!;
    return atMs > first.atMs ? ((bytes - first.bytes) * 1_000) / (atMs - first.atMs) : 0;
  }
}

/** Such as "3.2 GB". */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}
