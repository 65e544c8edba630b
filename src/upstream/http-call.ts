// One request on one connection: collects its answer, and tells how it ended.

import type { Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import type { Rostered } from "../core/roster.ts";
import type { UpstreamCall, UpstreamOutcome } from "../core/upstream.ts";
import { describeNetworkError } from "../network/network-error.ts";
import { readRetryAfter } from "../network/retry-after.ts";
import type { AnswerIntake, Receiving } from "./answer-intake.ts";
import type { Connection, Replica } from "./replica.ts";

const NOTHING = new Uint8Array(0);

export interface HttpCallOptions {
  requestTimeoutMs: number;
  answerSizeBytes: number;
  clock: Clock;
}

/** How a call ended, as far as the call itself can tell. */
export type CallEnd =
  | Extract<UpstreamOutcome, { kind: "answer" | "unreachable" | "withheld" | "aborted" }>
  /** `mayBeStale`: the connection had been used before, and nothing came back on it. */
  | { kind: "lost"; detail: string; mayBeStale: boolean }
  | { kind: "timeout" }
  | { kind: "oversized" };

/** One request on one connection. Ends exactly once. */
export class HttpCall implements UpstreamCall, Receiving, Rostered, Dispatcher.DispatchHandler {
  place = -1;
  readonly deadlineMs: number;
  readonly #replica: Replica;
  readonly #intake: AnswerIntake;
  readonly #options: HttpCallOptions;
  readonly #mayStart: (() => boolean) | undefined;
  readonly #onEnd: (ended: CallEnd) => void;
  readonly #connection: Connection;
  readonly #isUsedConnection: boolean;
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;
  /** 0 until the answer begins. */
  #status = 0;
  #retryAfterMs: number | null = null;
  /** Nearly all answers arrive in one piece; the others are put together at their end. */
  #firstChunk: Uint8Array | null = null;
  #chunks: Uint8Array[] | null = null;
  #sizeBytes = 0;

  /** @param fresh on a connection that has served no request yet */
  constructor(
    replica: Replica,
    intake: AnswerIntake,
    options: HttpCallOptions,
    fresh: boolean,
    mayStart: (() => boolean) | undefined,
    onEnd: (ended: CallEnd) => void,
  ) {
    this.#replica = replica;
    this.#intake = intake;
    this.#options = options;
    this.#mayStart = mayStart;
    this.#onEnd = onEnd;
    this.deadlineMs = options.clock.monotonicMs() + options.requestTimeoutMs;
    this.#connection = this.#replica.acquire(fresh);
    this.#isUsedConnection = this.#connection.hasServed;
  }

  start(options: Dispatcher.DispatchOptions): void {
    this.#connection.client.dispatch(options, this);
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
    if (this.#firstChunk) this.#intake.end(this, this.#sizeBytes);
    this.#replica.release(this.#connection, ended.kind === "answer");
    this.#onEnd(ended);
  }

  /** Its connection is open, and the next thing would be the request. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended || (this.#mayStart?.() ?? true)) return;
    this.end({ kind: "withheld" });
    controller.abort(new Error("withheld"));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#status = status;
    if (status >= 300) this.#retryAfterMs = readRetryAfter(headers, this.#options.clock.now());
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return;
    this.#sizeBytes += chunk.length;
    if (this.#firstChunk === null) {
      this.#firstChunk = chunk;
      this.#intake.begin(this);
    } else {
      (this.#chunks ??= [this.#firstChunk]).push(chunk);
    }
    this.#intake.take(this, chunk.length);
    if (this.#sizeBytes > this.#options.answerSizeBytes) this.end({ kind: "oversized" });
  }

  onResponseEnd(): void {
    if (this.#ended) return;
    const body = this.#chunks ? Buffer.concat(this.#chunks) : (this.#firstChunk ?? NOTHING);
    this.#finish({
      kind: "answer",
      status: this.#status,
      body,
      retryAfterMs: this.#retryAfterMs,
      replica: this.#replica.baseUrl,
    });
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
