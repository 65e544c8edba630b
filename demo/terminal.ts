// What the demo prints: headings, labelled steps, and one line of progress that redraws itself on a
// terminal and becomes a few plain lines elsewhere. Colours only where the terminal and NO_COLOR allow.

import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import type { Batch } from "openai/resources";

type Style = Parameters<typeof styleText>[0];

const LABEL_CHARACTERS = 18;
const BAR_CHARACTERS = 30;
/** A progress line that wraps could not be redrawn. */
const MIN_COLUMNS = 72;
const ERASE_LINE = "\r\u001B[2K";
/** Where it can't be redrawn, a line is printed for each of these parts of a batch. */
const PLAIN_STEPS = 4;

export class Terminal {
  readonly #out: WriteStream;
  /** The line that can still be redrawn. */
  #open = "";
  #hasEnded = false;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  styled(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#out });
  }

  /** Closes the line that is open; nothing is printed from then on. */
  end(): void {
    this.closeLine();
    this.#hasEnded = true;
  }

  /** Prints a line; a progress line before it is left as it last was. */
  line(text = ""): void {
    this.closeLine();
    this.#write(`${text}\n`);
  }

  heading(text: string): void {
    this.line();
    this.line(this.styled("bold", text));
    this.line();
  }

  /** One labelled line; without a label it stands under the text of the one before. */
  step(label: string, text: string, style: Style = "cyan"): void {
    this.line(`  ${this.styled(style, label.padEnd(LABEL_CHARACTERS))}${text}`);
  }

  /** Begins the progress of one batch; each call of the function returned shows a poll of it. */
  progress(): (batch: Batch) => void {
    const startedAt = performance.now();
    let shown = "";
    return (batch) => {
      const { completed = 0, failed = 0, total = 0 } = batch.request_counts ?? {};
      const done = total === 0 ? 0 : (completed + failed) / total;
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      const text = `${completed + failed}/${total}  ${batch.status}  ${seconds} s`;
      if (this.#out.isTTY && this.#out.columns >= MIN_COLUMNS) {
        this.#redraw(`  ${this.#bar(done)}  ${text}`);
        return;
      }
      const step = `${Math.floor(done * PLAIN_STEPS)} ${batch.status}`;
      if (step !== shown) this.step("batches.retrieve", text);
      shown = step;
    };
  }

  /** Ends a progress line, so that what follows begins on a line of its own. */
  closeLine(): void {
    if (this.#open !== "") this.#write("\n");
    this.#open = "";
  }

  #redraw(line: string): void {
    if (line === this.#open) return;
    this.#open = line;
    this.#write(`${ERASE_LINE}${line}`);
  }

  #write(text: string): void {
    if (!this.#hasEnded) this.#out.write(text);
  }

  #bar(done: number): string {
    const filled = Math.round(done * BAR_CHARACTERS);
    const rest = "░".repeat(BAR_CHARACTERS - filled);
    return this.styled("green", "█".repeat(filled)) + this.styled("dim", rest);
  }
}

/** A size in the unit that suits it. */
export function sizeText(sizeBytes: number): string {
  if (sizeBytes < 1_000_000) return `${Math.ceil(sizeBytes / 1_000)} KB`;
  return `${(sizeBytes / 1_000_000).toFixed(1)} MB`;
}
