// The raw responder (raw-responder.ts) as a process on one core, and what it can be told.

import { once } from "node:events";
import { type Running, nodeCommand, pinned, startProcess } from "./processes.ts";

/** What the responder is told; it answers each message with its stats. */
export interface BackendOrder {
  /** Counts POSTs anew. */
  reset?: boolean;
  /** Answers so many POSTs more and keeps the others waiting; null: answers all, also those that wait. */
  answerOnly?: number | null;
}

export interface BackendStats {
  /** Since the last reset, as are the others. */
  posts: number;
  /** Epoch milliseconds, of the same clock as the server's. */
  firstPostAtMs: number;
  lastPostAtMs: number;
  /** Processor time since the first POST. */
  processorMs: number;
}

export class Backend implements AsyncDisposable {
  readonly #process: Running;

  constructor(process: Running) {
    this.#process = process;
  }

  static async start({ latencyMs = 0, answerBytes = 600 } = {}): Promise<Backend> {
    const args = ["--latency-ms", String(latencyMs), "--answer-bytes", String(answerBytes)];
    return new Backend(
      await startProcess(pinned(nodeCommand("raw-responder.ts", args)), { ipc: true }),
    );
  }

  get baseUrl(): string {
    return this.#process.firstLine;
  }

  async tell(order: BackendOrder): Promise<BackendStats> {
    const { child } = this.#process;
    const answered = once(child, "message");
    child.send(order);
    const [stats] = (await answered) as [BackendStats];
    return stats;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}

/** How much of its core the responder took while POSTs came: near 100 % it would be the bottleneck. */
export function busyPercent({ firstPostAtMs, lastPostAtMs, processorMs }: BackendStats): number {
  return (100 * processorMs) / (lastPostAtMs - firstPostAtMs);
}
