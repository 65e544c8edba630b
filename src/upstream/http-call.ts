// One request on one connection: collects its answer, and tells how it ended.

import type { Client, Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import type { UpstreamCall } from "../core/upstream.ts";
import { describeNetworkError } from "../network/network-error.ts";
import { readRetryAfter } from "../network/retry-after.ts";
import type { AnswerIntake } from "./answer-intake.ts";
import type { Replica } from "./replica.ts";

export interface HttpCallOptions {
  requestTimeoutMs: number;
  answerSizeBytes: number;
  clock: Clock;
}

/** How a call ended, as far as the call itself can tell. */
export type CallEnd =
  | { kind: "answer"; status: number; body: Uint8Array; retryAfterMs: number | null }
  | { kind: "unreachable"; detail: string }
  /** `mayBeStale`: the connection had been used before, and nothing came back on it. */
  | { kind: "lost"; detail: string; mayBeStale: boolean }
  | { kind: "timeout" }
  | { kind: "oversized" }
  | { kind: "aborted" };

/** One request on one connection. Ends exactly once. */
export class HttpCall implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly deadlineMs: number;
  readonly #intake: AnswerIntake;
  readonly #options: HttpCallOptions;
  readonly #replica: Replica;
  readonly #onEnd: (ended: CallEnd) => void;
  readonly #client: Client;
  readonly #isUsedConnection: boolean;
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;
  /** 0 until the answer begins. */
  #status = 0;
  #retryAfterMs: number | null = null;
  readonly #chunks: Uint8Array[] = [];
  #sizeBytes = 0;

  constructor(
    replica: Replica,
    intake: AnswerIntake,
    options: HttpCallOptions,
    fresh: boolean,
    onEnd: (ended: CallEnd) => void,
  ) {
    this.#replica = replica;
    this.#intake = intake;
    this.#options = options;
    this.deadlineMs = options.clock.monotonicMs() + options.requestTimeoutMs;
    this.#onEnd = onEnd;
    this.#client = replica.acquire(fresh);
    this.#isUsedConnection = replica.hasServed(this.#client);
  }

  start(options: Dispatcher.DispatchOptions): void {
    this.#client.dispatch(options, this);
  }

  abort(): void {
    this.end({ kind: "aborted" });
  }

  /** Ends the call for a reason of ours, and its connection with it. */
  end(ended: CallEnd): void {
    if (!this.#ended) this.#finish(ended);
  }

  /** Reads no further for now. */
  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#ended) this.#controller?.resume();
  }

  #finish(ended: CallEnd): void {
    this.#ended = true;
    this.#intake.end(this, this.#sizeBytes);
    this.#replica.release(this.#client, ended.kind === "answer");
    this.#onEnd(ended);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#status = status;
    this.#retryAfterMs = readRetryAfter(headers, this.#options.clock.now());
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return;
    this.#sizeBytes += chunk.length;
    this.#chunks.push(chunk);
    this.#intake.take(this, chunk.length);
    if (this.#sizeBytes > this.#options.answerSizeBytes) this.end({ kind: "oversized" });
  }

  onResponseEnd(): void {
    if (this.#ended) return;
    const [first] = this.#chunks;
    const body = this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks);
    this.#finish({ kind: "answer", status: this.#status, body, retryAfterMs: this.#retryAfterMs });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#ended) return;
    const detail = describeNetworkError(error);
    // Undici starts a request only on an open connection: without a start nothing was sent.
    const mayBeStale = this.#isUsedConnection && this.#status === 0;
    if (this.#controller) this.#finish({ kind: "lost", detail, mayBeStale });
    else this.#finish({ kind: "unreachable", detail });
  }
}
