// An upstream over HTTP: picks a replica, sends, collects the answer, and says what happened as a
// value. Also tells a lost connection from a dead backend.

import type { Client, Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import type {
  Discovery,
  Upstream,
  UpstreamCall,
  UpstreamOutcome,
  UpstreamRequest,
} from "../core/upstream.ts";
import { describeNetworkError, Replica } from "./replica.ts";

export interface HttpUpstreamOptions {
  name: string;
  /** Each ends in the version: `http://127.0.0.1:8000/v1`. */
  baseUrls: readonly string[];
  apiKey: string | null;
  models: readonly string[] | null;
  endpoints: readonly string[];
  requestTimeoutMs: number;
  answerSizeBytes: number;
  clock: Clock;
}

/** A request on its way: to one replica after the other, until one can be reached. */
interface Sending {
  readonly request: UpstreamRequest;
  readonly onOutcome: (outcome: UpstreamOutcome) => void;
  readonly tried: Set<Replica>;
  call: HttpCall | null;
}

/** A question whether a replica is alive, and who waits for the answer. */
interface Verification {
  readonly lost: ((upstreamDied: boolean) => void)[];
  readonly inFlightBefore: number;
}

/** How often running requests are held against the timeout: one timer for all of them. */
const TIMEOUT_CHECK_MS = 250;
const MAX_RETRY_AFTER_MS = 10 * 60_000;

export class HttpUpstream implements Upstream {
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly configuredModels: readonly string[] | null;
  readonly #options: HttpUpstreamOptions;
  readonly #replicas: Replica[];
  /** In order of start, hence of deadline. */
  readonly #calls = new Set<HttpCall>();
  readonly #verifying = new Map<Replica, Verification>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: HttpUpstreamOptions) {
    this.name = options.name;
    this.endpoints = options.endpoints;
    this.configuredModels = options.models;
    this.#options = options;
    const headers: Record<string, string> = { accept: "application/json", "user-agent": "offpeak" };
    if (options.apiKey !== null) headers["authorization"] = `Bearer ${options.apiKey}`;
    this.#replicas = options.baseUrls.map((url) => new Replica(url, headers, options.clock));
  }

  send(request: UpstreamRequest, onOutcome: (outcome: UpstreamOutcome) => void): UpstreamCall {
    const sending: Sending = { request, onOutcome, tried: new Set(), call: null };
    this.#dispatch(sending, this.#choose(this.#replicas));
    return { abort: () => sending.call?.abort() };
  }

  #dispatch(sending: Sending, replica: Replica): void {
    const { request, tried } = sending;
    tried.add(replica);
    const deadlineMs = this.#options.clock.monotonicMs() + this.#options.requestTimeoutMs;
    const call = new HttpCall(replica, deadlineMs, this.#options.answerSizeBytes, (ended) => {
      this.#calls.delete(call);
      this.#settle(sending, replica, ended);
    });
    sending.call = call;
    this.#calls.add(call);
    this.#timer ??= setInterval(() => this.#checkTimeouts(), TIMEOUT_CHECK_MS).unref();
    call.start(replica.post(request.endpoint, request.body, request.requestId));
  }

  /** Least in flight, among those that can be reached if there are any. */
  #choose(replicas: readonly Replica[]): Replica {
    let best: Replica | undefined;
    for (const replica of replicas) {
      if (!best || rank(replica) < rank(best)) best = replica;
    }
    if (!best) throw new Error(`upstream ${this.name} has no base URL`);
    return best;
  }

  #settle(sending: Sending, replica: Replica, ended: CallEnd): void {
    const { onOutcome, tried } = sending;
    switch (ended.kind) {
      case "lost":
        this.#verify(replica, ended.detail, onOutcome);
        return;
      case "unreachable": {
        replica.notReached();
        // Nothing was sent, so another replica can have it.
        const others = this.#replicas.filter((other) => !tried.has(other) && !other.avoided);
        if (others.length === 0) break;
        this.#dispatch(sending, this.#choose(others));
        return;
      }
      case "answer":
        replica.reached();
        break;
      case "timeout":
        onOutcome({ kind: "timeout", afterMs: this.#options.requestTimeoutMs });
        return;
      case "oversized":
        onOutcome({ kind: "oversized", limitBytes: this.#options.answerSizeBytes });
        return;
      case "aborted":
        break;
    }
    onOutcome(ended);
  }

  /**
   * A connection was lost with a request on it. The backend died if it can't be reached now, or if
   * every other request it had was lost too; else only this connection broke.
   */
  #verify(replica: Replica, detail: string, onOutcome: (outcome: UpstreamOutcome) => void): void {
    const running = this.#verifying.get(replica);
    const check = running ?? { lost: [], inFlightBefore: replica.inFlight + 1 };
    check.lost.push((upstreamDied) => onOutcome({ kind: "cut", detail, upstreamDied }));
    if (running) return;
    this.#verifying.set(replica, check);
    void replica.alive().then((alive) => {
      this.#verifying.delete(replica);
      const allLost = check.lost.length > 1 && check.lost.length >= check.inFlightBefore;
      if (!alive) replica.notReached();
      for (const tell of check.lost) tell(!alive || allLost);
    });
  }

  #checkTimeouts(): void {
    const now = this.#options.clock.monotonicMs();
    for (const call of this.#calls) {
      if (call.deadlineMs > now) break;
      call.end({ kind: "timeout" });
    }
    if (this.#calls.size === 0 && this.#timer) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  async discover(): Promise<Discovery> {
    const found = await Promise.all(this.#replicas.map((replica) => replica.models()));
    const models = found.flatMap((answer) => (answer.ok ? answer.models : []));
    if (found.some((answer) => answer.ok)) return { ok: true, models: [...new Set(models)] };
    return {
      ok: false,
      detail: found.map((answer) => (answer.ok ? "" : answer.detail)).join("; "),
    };
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    for (const call of this.#calls) call.abort();
    await Promise.all(this.#replicas.map((replica) => replica.close()));
  }
}

function rank(replica: Replica): number {
  return replica.inFlight + (replica.avoided ? 1_000_000 : 0);
}

type CallEnd =
  | { kind: "answer"; status: number; body: Uint8Array; retryAfterMs: number | null }
  | { kind: "unreachable"; detail: string }
  | { kind: "lost"; detail: string }
  | { kind: "timeout" }
  | { kind: "oversized" }
  | { kind: "aborted" };

/** One request on one connection. Ends exactly once. */
class HttpCall implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly deadlineMs: number;
  readonly #answerSizeBytes: number;
  readonly #replica: Replica;
  readonly #onEnd: (ended: CallEnd) => void;
  readonly #client: Client;
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;
  #status = 0;
  #retryAfterMs: number | null = null;
  readonly #chunks: Uint8Array[] = [];
  #sizeBytes = 0;

  constructor(
    replica: Replica,
    deadlineMs: number,
    answerSizeBytes: number,
    onEnd: (ended: CallEnd) => void,
  ) {
    this.#replica = replica;
    this.deadlineMs = deadlineMs;
    this.#answerSizeBytes = answerSizeBytes;
    this.#onEnd = onEnd;
    this.#client = replica.acquire();
  }

  start(options: Dispatcher.DispatchOptions): void {
    this.#client.dispatch(options, this);
  }

  abort(): void {
    this.end({ kind: "aborted" });
  }

  /** Ends the call for a reason of ours, and its connection with it. */
  end(ended: CallEnd): void {
    if (this.#ended) return;
    this.#finish(ended);
    const reason = new Error(ended.kind);
    if (this.#controller) this.#controller.abort(reason);
    // Still connecting: there is no request to abort yet.
    else void this.#client.destroy(reason);
  }

  #finish(ended: CallEnd): void {
    this.#ended = true;
    this.#replica.release(this.#client);
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
    this.#retryAfterMs = readRetryAfter(headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > this.#answerSizeBytes) this.end({ kind: "oversized" });
    else this.#chunks.push(chunk);
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
    this.#finish({ kind: this.#controller ? "lost" : "unreachable", detail });
  }
}

function readRetryAfter(headers: Record<string, string | string[] | undefined>): number | null {
  const ms = Number(headers["retry-after-ms"] ?? Number.NaN);
  if (ms >= 0) return Math.min(ms, MAX_RETRY_AFTER_MS);
  const value = headers["retry-after"];
  if (typeof value !== "string") return null;
  const seconds = /^\d+(?:\.\d+)?$/.test(value)
    ? Number(value)
    : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds)
    ? Math.min(Math.max(seconds, 0) * 1000, MAX_RETRY_AFTER_MS)
    : null;
}
