// The embedded model: Universal Sentence Encoder Lite in a worker thread. Texts that wait are merged into
// batches; the oldest text leads each batch, so nothing waits behind more than what came before it.
// A text costs as much as the longest of its batch, hence only texts of similar length travel together.

import { Worker } from "node:worker_threads";
import type { Embedding, WorkerMessage } from "./embedding-worker.ts";

const MAX_BATCH_TEXTS = 32;
const MAX_WAITING_TEXTS = 1024;
/** How many times longer or shorter than its leader a text of a batch may be. */
const MAX_LENGTH_RATIO = 1.5;

/** Thrown when the queue has no room for all texts of a call; none of them was taken. */
export class EmbeddingQueueFullError extends Error {}

/** Thrown when the worker is gone: stopped, or crashed. */
export class EmbeddingModelStoppedError extends Error {}

interface WaitingText extends PromiseWithResolvers<Embedding> {
  text: string;
}

export interface EmbeddingCounters {
  /** Texts and batches handed to the worker since the start. */
  texts: number;
  batches: number;
  largestBatch: number;
}

export class EmbeddingModel {
  readonly #worker = new Worker(new URL("./embedding-worker.ts", import.meta.url));
  readonly #ready = Promise.withResolvers<void>();
  readonly #counters: EmbeddingCounters = { texts: 0, batches: 0, largestBatch: 0 };
  #waiting: WaitingText[] = [];
  #inWork: WaitingText[] = [];
  #stopped: EmbeddingModelStoppedError | undefined;

  private constructor() {
    this.#worker.on("message", (message: WorkerMessage) => this.#onMessage(message));
    this.#worker.on("error", (error) =>
      this.#end(`The embedding worker crashed: ${String(error)}`),
    );
    this.#worker.on("exit", () => this.#end("The embedding worker has ended."));
  }

  /** Starts the worker and waits until the model is loaded. Rejects when it can't be loaded. */
  static async start(): Promise<EmbeddingModel> {
    const model = new EmbeddingModel();
    await model.#ready.promise;
    return model;
  }

  get counters(): Readonly<EmbeddingCounters> {
    return { ...this.#counters };
  }

  /**
   * Embeds the texts (none of them empty), in their order. Rejects with `EmbeddingQueueFullError` before
   * anything is queued, or with `EmbeddingModelStoppedError` when the worker ends first.
   */
  async embed(texts: readonly string[]): Promise<Embedding[]> {
    if (this.#stopped) throw this.#stopped;
    if (this.#waiting.length + texts.length > MAX_WAITING_TEXTS) {
      throw new EmbeddingQueueFullError(
        `${this.#waiting.length} texts are waiting and ${texts.length} more do not fit into the queue of ${MAX_WAITING_TEXTS}; try again later.`,
      );
    }
    const added = texts.map((text) => ({ text, ...Promise.withResolvers<Embedding>() }));
    this.#waiting.push(...added);
    this.#sendBatch();
    return Promise.all(added.map((waiting) => waiting.promise));
  }

  /** Ends the worker at once. What was waiting or in work is rejected. */
  async stop(): Promise<void> {
    this.#end("The embedding model was stopped.");
    await this.#worker.terminate();
  }

  #onMessage(message: WorkerMessage): void {
    if (message.kind === "ready") {
      this.#ready.resolve();
      return;
    }
    const done = this.#inWork;
    this.#inWork = [];
    this.#sendBatch();
    for (const [i, waiting] of done.entries()) {
      if (message.kind === "embedded") waiting.resolve(message.embeddings[i]!);
      else waiting.reject(new Error(`The model could not embed the text: ${message.message}`));
    }
  }

  #sendBatch(): void {
    const leader = this.#waiting[0];
    if (this.#inWork.length > 0 || leader === undefined) return;
    const rest: WaitingText[] = [];
    for (const waiting of this.#waiting) {
      const joins =
        this.#inWork.length < MAX_BATCH_TEXTS &&
        waiting.text.length <= leader.text.length * MAX_LENGTH_RATIO &&
        leader.text.length <= waiting.text.length * MAX_LENGTH_RATIO;
      (joins ? this.#inWork : rest).push(waiting);
    }
    this.#waiting = rest;
    this.#counters.texts += this.#inWork.length;
    this.#counters.batches += 1;
    this.#counters.largestBatch = Math.max(this.#counters.largestBatch, this.#inWork.length);
    this.#worker.postMessage(this.#inWork.map((waiting) => waiting.text));
  }

  #end(reason: string): void {
    if (this.#stopped) return;
    this.#stopped = new EmbeddingModelStoppedError(reason);
    this.#ready.reject(this.#stopped);
    for (const waiting of [...this.#inWork, ...this.#waiting]) waiting.reject(this.#stopped);
    this.#inWork = [];
    this.#waiting = [];
  }
}
