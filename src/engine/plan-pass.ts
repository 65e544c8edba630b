// The pass over an input: validates its lines and makes their plan. Takes the bytes in chunks and
// waits for nothing, so that it runs in a thread of its own as well as here. Holds at most 64 bytes
// a line: entry, prompt hashes and the hash of the custom_id.

import type { ValidationError } from "../core/batch.ts";
import { type AcceptedLine, type InputRules, InputValidator } from "../core/input-validator.ts";
import type { MemberSpan } from "../core/json-members.ts";
import { DispatchOrder } from "./dispatch-order.ts";
import { LineSplitter, type SplitLine } from "./line-splitter.ts";
import { encodePlanEntry, encodePlanHeader, PLAN_ENTRY_BYTES, PlanSlice } from "./plan.ts";

/**
 * A large file is cut into so many shards, for nodes and turns to share; a smaller one into shards of so many lines.
 * Opening a shard and giving it back takes the event loop about 4 ms: shards of 4,000 lines instead of 1,000 made a
 * sixth more lines a second at no latency.
 */
const SHARDS_OF_LARGE_FILE = 16;
const SMALL_SHARD_LINES = 1_000;

export interface PassOptions {
  rules: InputRules;
  shardLines: number;
  /** Bytes of the input that the pass was given before. */
  readEarlier(start: number, length: number): Uint8Array;
}

/** What a pass found. The plan holds the lines of shard after shard. */
export type Verdict =
  | {
      ok: true;
      total: number;
      /** An estimate, by the bytes of the prompts. */
      promptTokens: number;
      models: string[];
      /** Ranges of plan entries; a shard holds one of `models`. */
      shards: { modelIndex: number; firstEntry: number; entryCount: number }[];
    }
  | { ok: false; errors: ValidationError[] };

const ENTRIES_PER_CHUNK = 8192;
/** Of English prose, by most tokenizers. */
const BYTES_PER_TOKEN = 4;

export class PlanPass {
  readonly #options: PassOptions;
  readonly #validator: InputValidator;
  readonly #splitter: LineSplitter;
  readonly #order = new DispatchOrder();
  readonly #chunks: DataView<ArrayBuffer>[] = [];
  #count = 0;
  #promptTokens = 0;

  constructor(options: PassOptions) {
    this.#options = options;
    this.#validator = new InputValidator(options.rules);
    this.#splitter = new LineSplitter(options.rules.limits.lineSizeBytes);
  }

  /** True once further bytes can't change the verdict. */
  get stopped(): boolean {
    return this.#validator.stopped;
  }

  /** Takes the next bytes of the input; they are no longer needed when it returns. */
  add(chunk: Uint8Array): void {
    this.#take(this.#splitter.split(chunk));
  }

  /**
   * After the last bytes: hands out the plan in pieces, none when the input is refused, and then
   * answers the verdict.
   */
  *finish(): Generator<Uint8Array<ArrayBuffer>, Verdict> {
    this.#take(this.#splitter.end());
    this.#validator.end();
    const { errors, models } = this.#validator;
    if (errors.length > 0) return { ok: false, errors };
    const order = this.#order.finish();
    yield encodePlanHeader(order.length);
    for (let from = 0; from < order.length; from += ENTRIES_PER_CHUNK) {
      yield this.#entriesOf(order.subarray(from, from + ENTRIES_PER_CHUNK));
    }
    const shards = this.#cutShards(order);
    return { ok: true, total: this.#count, promptTokens: this.#promptTokens, models, shards };
  }

  #take(lines: Iterable<SplitLine>): void {
    if (this.stopped) return;
    for (const line of lines) {
      this.#takeLine(line);
      if (this.stopped) return;
    }
  }

  #takeLine({ number, start, bytes }: SplitLine): void {
    if (bytes === null) {
      this.#validator.refuseLongLine(number);
      return;
    }
    const accepted = this.#validator.check(bytes, number);
    if (accepted) this.#accept(accepted, bytes, number, start);
  }

  #accept(accepted: AcceptedLine, bytes: Uint8Array, number: number, start: number): void {
    const { line, modelIndex, suspects } = accepted;
    const at = this.#count % ENTRIES_PER_CHUNK;
    if (at === 0) {
      this.#chunks.push(new DataView(new ArrayBuffer(ENTRIES_PER_CHUNK * PLAN_ENTRY_BYTES)));
    }
    encodePlanEntry(this.#chunkOf(this.#count), at * PLAN_ENTRY_BYTES, {
      lineNumber: number,
      lineStart: start,
      lineLength: bytes.length,
      bodyStart: line.bodySpan.start,
      bodyLength: line.bodySpan.end - line.bodySpan.start,
      customIdStart: line.customIdSpan.start,
      customIdLength: line.customIdSpan.end - line.customIdSpan.start,
    });
    this.#count++;
    const prompt: MemberSpan[] = [];
    let promptBytes = 0;
    // In the order in which a backend reads them, whatever the line's is.
    for (const name of this.#options.rules.endpoint.prompt) {
      for (const member of line.bodyMembers) {
        if (member.name !== name) continue;
        prompt.push(member);
        promptBytes += member.end - member.start;
      }
    }
    this.#order.add(modelIndex, bytes, prompt);
    this.#promptTokens += Math.ceil(promptBytes / BYTES_PER_TOKEN);
    if (suspects.some((suspect) => this.#customIdOf(suspect) === line.customId)) {
      this.#validator.repeatCustomId(line.customId, number);
    }
  }

  /** Equal hashes are only a suspicion: what really stands in the earlier line. */
  #customIdOf(index: number): unknown {
    const view = this.#chunkOf(index);
    const at = (index % ENTRIES_PER_CHUNK) * PLAN_ENTRY_BYTES;
    const entry = new PlanSlice(new Uint8Array(view.buffer, at, PLAN_ENTRY_BYTES)).entry(0);
    const start = entry.lineStart + entry.customIdStart;
    const bytes = this.#options.readEarlier(start, entry.customIdLength);
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  #chunkOf(index: number): DataView<ArrayBuffer> {
    return this.#chunks[Math.floor(index / ENTRIES_PER_CHUNK)] as DataView<ArrayBuffer>;
  }

  /** The entries of lines, in their order. */
  #entriesOf(indexes: Uint32Array): Uint8Array<ArrayBuffer> {
    const entries = new Uint8Array(indexes.length * PLAN_ENTRY_BYTES);
    for (let to = 0; to < indexes.length;) {
      const first = indexes[to] as number;
      const from = first % ENTRIES_PER_CHUNK;
      const most = Math.min(indexes.length - to, ENTRIES_PER_CHUNK - from);
      // Lines that stayed in the order of the file are copied together.
      let count = 1;
      while (count < most && indexes[to + count] === first + count) count++;
      const { buffer } = this.#chunkOf(first);
      const bytes = new Uint8Array(buffer, from * PLAN_ENTRY_BYTES, count * PLAN_ENTRY_BYTES);
      entries.set(bytes, to * PLAN_ENTRY_BYTES);
      to += count;
    }
    return entries;
  }

  /** Ranges of entries, each of one model. */
  #cutShards(order: Uint32Array): (Verdict & { ok: true })["shards"] {
    const share = Math.ceil(order.length / SHARDS_OF_LARGE_FILE);
    const shardLines = Math.min(this.#options.shardLines, Math.max(SMALL_SHARD_LINES, share));
    const shards: (Verdict & { ok: true })["shards"] = [];
    for (const [position, index] of order.entries()) {
      const modelIndex = this.#order.modelOf(index);
      const last = shards.at(-1);
      if (last?.modelIndex === modelIndex && last.entryCount < shardLines) last.entryCount++;
      else shards.push({ modelIndex, firstEntry: position, entryCount: 1 });
    }
    return shards;
  }
}
