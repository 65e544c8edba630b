// The planning thread as the engine sees it: large inputs are validated there, so that nothing else
// waits meanwhile. It starts when it is first needed and ends when it has been idle for a while. Its
// end, for whatever reason, fails the pass under way and nothing else.

import { extname } from "node:path";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { BlobReader } from "../core/blob-store.ts";
import type { InputRules } from "../core/input-validator.ts";
import type { Verdict } from "./plan-pass.ts";
import { type FromThread, type PlanningJob, SIGNAL, type ToThread } from "./planning-messages.ts";

export interface PassWork {
  reader: BlobReader;
  rules: InputRules;
  shardLines: number;
  /** Throws when the pass is to be given up. Asked for every chunk. */
  checkpoint: () => void;
  /** Takes the next piece of the plan. */
  write: (bytes: Uint8Array) => Promise<void>;
}

/** Read at a time, and how many of them are under way: enough for the thread while the engine is busy. */
const CHUNK_BYTES = 1024 * 1024;
const CHUNKS = 4;
const IDLE_MS = 5_000;
/** Holds the largest line that may be parsed. */
const HEAP_MB = 1024;
/** What a line leaves behind is garbage at once: more would only take memory. */
const YOUNG_GENERATION_MB = 12;

/** The same file ending as this module's: sources in development, compiled files when installed. */
const WORKER = new URL(`./planning-worker${extname(import.meta.url)}`, import.meta.url);

export class PlanningThread implements AsyncDisposable {
  readonly #idleMs: number;
  readonly #heapMb: number;
  #worker: Worker | null = null;
  #pass: Pass | null = null;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor({ idleMs = IDLE_MS, heapMb = HEAP_MB }: { idleMs?: number; heapMb?: number } = {}) {
    this.#idleMs = idleMs;
    this.#heapMb = heapMb;
  }

  /** Runs one pass; one at a time. */
  async run(work: PassWork): Promise<Verdict> {
    if (this.#pass) throw new Error("the planning thread runs one pass at a time");
    clearTimeout(this.#idleTimer);
    this.#worker ??= this.#start();
    const { port1, port2 } = new MessageChannel();
    const signal = new Int32Array(new SharedArrayBuffer(4 * SIGNAL.length));
    const { serves: _, ...rules } = work.rules;
    const job: PlanningJob = { port: port2, signal, rules, shardLines: work.shardLines };
    this.#pass = new Pass(work, port1, signal);
    this.#worker.postMessage(job, [port2]);
    try {
      return await this.#pass.run();
    } finally {
      this.#pass = null;
      this.#idleTimer = setTimeout(() => void this.end(), this.#idleMs).unref();
    }
  }

  /** Ends the thread; a pass under way fails. The next pass starts another one. */
  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    const worker = this.#worker;
    this.#lose("it was told to");
    await worker?.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  #start(): Worker {
    const resourceLimits = {
      maxOldGenerationSizeMb: this.#heapMb,
      maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
    };
    const worker = new Worker(WORKER, { resourceLimits });
    // It is no reason for the process to stay.
    worker.unref();
    let reason = "it does not say why";
    worker.on("error", (error) => (reason = String(error)));
    worker.on("exit", () => {
      if (this.#worker === worker) this.#lose(reason);
    });
    return worker;
  }

  /** There is no thread any more: the pass it had fails, and the next one gets another. */
  #lose(reason: string): void {
    this.#worker = null;
    this.#pass?.fail(new Error(`the planning thread has ended: ${reason}`));
  }
}

/** The engine's side of one pass. */
class Pass {
  readonly #work: PassWork;
  readonly #port: MessagePort;
  readonly #signal: PlanningJob["signal"];
  readonly #verdict = Promise.withResolvers<Verdict>();
  readonly #spare: ArrayBuffer[] = [];
  #onSpare: (() => void) | null = null;
  /** What the last message asked for is done. */
  #heard = Promise.resolve();
  #over = false;

  constructor(work: PassWork, port: MessagePort, signal: PlanningJob["signal"]) {
    this.#work = work;
    this.#port = port;
    this.#signal = signal;
    port.on("message", (message: FromThread) => {
      this.#heard = this.#hear(message).catch((error: unknown) => this.fail(error));
    });
  }

  async run(): Promise<Verdict> {
    try {
      this.#sendChunks().catch((error: unknown) => this.fail(error));
      return await this.#verdict.promise;
    } finally {
      this.#over = true;
      this.#onSpare?.();
      Atomics.store(this.#signal, SIGNAL.stopped, 1);
      this.#wake();
      this.#port.close();
      await this.#heard;
    }
  }

  fail(error: unknown): void {
    this.#verdict.reject(error);
  }

  async #sendChunks(): Promise<void> {
    const { reader, checkpoint } = this.#work;
    for (let count = 0; count < CHUNKS; count++) this.#spare.push(new ArrayBuffer(CHUNK_BYTES));
    for (let start = 0; start < reader.sizeBytes; start += CHUNK_BYTES) {
      const memory = this.#spare.pop() ?? (await this.#nextSpare());
      if (!memory) return;
      checkpoint();
      const bytes = await reader.read(start, CHUNK_BYTES, new Uint8Array(memory));
      this.#tell({ kind: "chunk", bytes: bytes as Uint8Array<ArrayBuffer> }, [memory]);
    }
    this.#tell({ kind: "chunk", bytes: null });
  }

  /** Undefined when the pass is over. */
  async #nextSpare(): Promise<ArrayBuffer | undefined> {
    if (!this.#over) await new Promise<void>((resolve) => (this.#onSpare = resolve));
    return this.#spare.pop();
  }

  async #hear(message: FromThread): Promise<void> {
    const { rules, reader, checkpoint, write } = this.#work;
    switch (message.kind) {
      case "spent":
        this.#spare.push(message.memory);
        this.#onSpare?.();
        break;
      case "serves":
        this.#tell({ kind: "answer", value: rules.serves(message.model) });
        break;
      case "earlier": {
        const bytes = await reader.read(message.start, message.length);
        this.#tell({ kind: "answer", value: bytes });
        break;
      }
      case "plan":
        checkpoint();
        await write(message.bytes);
        this.#tell({ kind: "answer", value: null });
        break;
      case "verdict":
        this.#verdict.resolve(message.verdict);
        break;
      case "failed":
        this.fail(message.error);
    }
  }

  #tell(message: ToThread, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.#signal, SIGNAL.sent, 1);
    Atomics.notify(this.#signal, SIGNAL.sent);
  }
}
