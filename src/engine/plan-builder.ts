// Validates an input file and builds its plan in one streaming pass. Holds at most 64 bytes a line:
// entry, prompt hashes and the hash of the custom_id.

import type { ValidationError } from "../core/batch.ts";
import type { BlobReader, BlobStore } from "../core/blob-store.ts";
import { type AcceptedLine, type InputRules, InputValidator } from "../core/input-validator.ts";
import type { NewShard } from "../core/store.ts";
import { DispatchOrder } from "./dispatch-order.ts";
import { splitLines, type SplitLine } from "./line-splitter.ts";
import { encodePlanEntry, encodePlanHeader, PLAN_ENTRY_BYTES, PlanSlice } from "./plan.ts";

export interface PlanInput {
  blobs: BlobStore;
  inputKey: string;
  rules: InputRules;
  /** Where the plan goes. Nothing is written when the input is refused. */
  planKey: string;
  shardLines: number;
  /** The name under which upstreams know a model. */
  resolve(requestedModel: string): string;
  /** Throws when the planning is to be given up. Asked once in a while. */
  checkpoint(): void;
}

export type BuiltPlan =
  | {
      ok: true;
      total: number;
      /** An estimate, by the bytes of the prompts. */
      promptTokens: number;
      models: string[];
      shards: NewShard[];
    }
  | { ok: false; errors: ValidationError[] };

const ENTRIES_PER_CHUNK = 8192;
/** Of English prose, by most tokenizers. */
const BYTES_PER_TOKEN = 4;

/** Reads the input, and writes the plan when all lines keep the rules. */
export async function buildPlan(input: PlanInput): Promise<BuiltPlan> {
  const reader = await input.blobs.open(input.inputKey);
  try {
    const builder = new PlanBuilder(input, reader);
    return await builder.build();
  } finally {
    await reader.close();
  }
}

class PlanBuilder {
  readonly #input: PlanInput;
  readonly #reader: BlobReader;
  readonly #validator: InputValidator;
  readonly #order = new DispatchOrder();
  readonly #chunks: DataView[] = [];
  #count = 0;
  #promptTokens = 0;

  constructor(input: PlanInput, reader: BlobReader) {
    this.#input = input;
    this.#reader = reader;
    this.#validator = new InputValidator(input.rules);
  }

  async build(): Promise<BuiltPlan> {
    const { blobs, inputKey, rules } = this.#input;
    for await (const lines of splitLines(blobs.read(inputKey), rules.limits.lineSizeBytes)) {
      this.#input.checkpoint();
      for (const line of lines) {
        // Awaiting every line would cost more than checking it.
        const suspicion = this.#take(line);
        if (suspicion) await this.#confirm(suspicion, line.number);
        if (this.#validator.stopped) break;
      }
      if (this.#validator.stopped) break;
    }
    this.#validator.end();
    const { errors, models } = this.#validator;
    if (errors.length > 0) return { ok: false, errors };
    const shards = await this.#write();
    return { ok: true, total: this.#count, promptTokens: this.#promptTokens, models, shards };
  }

  #take({ number, start, bytes }: SplitLine): AcceptedLine | undefined {
    if (bytes === null) {
      this.#validator.refuseLongLine(number);
      return undefined;
    }
    const accepted = this.#validator.check(bytes, number);
    if (!accepted) return undefined;
    const { line, modelIndex } = accepted;
    const view = this.#chunkOf(this.#count);
    encodePlanEntry(view, (this.#count % ENTRIES_PER_CHUNK) * PLAN_ENTRY_BYTES, {
      lineNumber: number,
      lineStart: start,
      lineLength: bytes.length,
      bodyStart: line.bodySpan.start,
      bodyLength: line.bodySpan.end - line.bodySpan.start,
      customIdStart: line.customIdSpan.start,
      customIdLength: line.customIdSpan.end - line.customIdSpan.start,
    });
    this.#count++;
    // In the order in which a backend reads them, whatever the line's is.
    const spans = this.#input.rules.endpoint.prompt.flatMap((name) =>
      line.bodyMembers.filter((member) => member.name === name),
    );
    this.#order.add(modelIndex, bytes, spans);
    const promptBytes = spans.reduce((sum, span) => sum + span.end - span.start, 0);
    this.#promptTokens += Math.ceil(promptBytes / BYTES_PER_TOKEN);
    return accepted.suspects.length > 0 ? accepted : undefined;
  }

  #chunkOf(index: number): DataView {
    const number = Math.floor(index / ENTRIES_PER_CHUNK);
    let chunk = this.#chunks[number];
    if (!chunk) {
      chunk = new DataView(new ArrayBuffer(ENTRIES_PER_CHUNK * PLAN_ENTRY_BYTES));
      this.#chunks.push(chunk);
    }
    return chunk;
  }

  #entryBytes(index: number): Uint8Array {
    const at = (index % ENTRIES_PER_CHUNK) * PLAN_ENTRY_BYTES;
    return new Uint8Array(this.#chunkOf(index).buffer, at, PLAN_ENTRY_BYTES);
  }

  /** Equal hashes: compare with what really stands in the earlier lines. */
  async #confirm({ line, suspects }: AcceptedLine, lineNumber: number): Promise<void> {
    for (const suspect of suspects) {
      const entry = new PlanSlice(this.#entryBytes(suspect)).entry(0);
      const start = entry.lineStart + entry.customIdStart;
      const bytes = await this.#reader.read(start, entry.customIdLength);
      if (JSON.parse(new TextDecoder().decode(bytes)) !== line.customId) continue;
      this.#validator.repeatCustomId(line.customId, lineNumber);
      return;
    }
  }

  async #write(): Promise<NewShard[]> {
    const order = this.#order.finish();
    const writer = await this.#input.blobs.create(this.#input.planKey);
    try {
      await writer.write(encodePlanHeader(order.length));
      for (let from = 0; from < order.length; from += ENTRIES_PER_CHUNK) {
        this.#input.checkpoint();
        const part = order.subarray(from, from + ENTRIES_PER_CHUNK);
        const bytes = new Uint8Array(part.length * PLAN_ENTRY_BYTES);
        part.forEach((index, at) => bytes.set(this.#entryBytes(index), at * PLAN_ENTRY_BYTES));
        await writer.write(bytes);
      }
      await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    return this.#cutShards(order);
  }

  /** Ranges of at most `shardLines` entries; a shard holds one model. */
  #cutShards(order: Uint32Array): NewShard[] {
    const modelOf = (position: number) => this.#order.modelOf(order[position] ?? 0);
    const shards: NewShard[] = [];
    let first = 0;
    while (first < order.length) {
      const modelIndex = modelOf(first);
      let end = first + 1;
      while (
        end < order.length &&
        end - first < this.#input.shardLines &&
        modelOf(end) === modelIndex
      ) {
        end++;
      }
      const requestedModel = this.#validator.models[modelIndex] ?? "";
      const model = this.#input.resolve(requestedModel);
      shards.push({ model, requestedModel, firstEntry: first, entryCount: end - first });
      first = end;
    }
    return shards;
  }
}
