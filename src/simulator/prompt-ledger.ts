// How often each prompt was sent. Prompts are told apart by a hash of their whole text, and only the first
// 200 characters are kept, so memory follows the number of distinct prompts (about 130 bytes each and the
// cut text). Beyond its capacity new prompts are no longer counted, and the ledger says so.
import { hash } from "node:crypto";

const SHOWN_CHARACTERS = 200;
const DEFAULT_CAPACITY = 2_000_000;

export interface PromptCount {
  /** The prompt's text, cut to 200 characters. */
  prompt: string;
  times: number;
}

/** What tells prompts apart: 20 characters, equal only for equal texts. */
export function promptKey(prompt: string): string {
  return hash("sha1", prompt, "binary");
}

export class PromptLedger {
  maxTimesSent = 0;
  /** True once a prompt went uncounted because the ledger was full. */
  capped = false;
  readonly #capacity: number;
  readonly #counts = new Map<string, PromptCount>();

  constructor(capacity = DEFAULT_CAPACITY) {
    this.#capacity = capacity;
  }

  get distinctPrompts(): number {
    return this.#counts.size;
  }

  /** Counts one sending; returns how often the prompt was sent so far, this time included (1 if uncounted). */
  count(key: string, prompt: string): number {
    const known = this.#counts.get(key);
    const times = known === undefined ? 1 : ++known.times;
    if (times > this.maxTimesSent) this.maxTimesSent = times;
    if (known === undefined) {
      if (this.#counts.size < this.#capacity) this.#counts.set(key, { prompt: cut(prompt), times });
      else this.capped = true;
    }
    return times;
  }

  timesSent(prompt: string): number {
    return this.#counts.get(promptKey(prompt))?.times ?? 0;
  }

  /** Every counted prompt, in the order in which they were first sent. */
  prompts(): IterableIterator<Readonly<PromptCount>> {
    return this.#counts.values();
  }

  reset(): void {
    this.#counts.clear();
    this.maxTimesSent = 0;
    this.capped = false;
  }
}

function cut(prompt: string): string {
  // A slice of a string keeps the whole string alive; a trip through bytes makes a copy that does not.
  return Buffer.from(prompt.slice(0, SHOWN_CHARACTERS)).toString();
}
