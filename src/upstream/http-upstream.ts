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
import { readRetryAfter } from "./retry-after.ts";

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
  hasOutcome: boolean;
}

/** A question whether a replica is alive, and who waits for the answer. */
interface Verification {
  readonly lost: { sending: Sending; detail: string }[];
  readonly inFlightBefore: number;
}

/** How often running requests are held against the timeout: one timer for all of them. */
const TIMEOUT_CHECK_MS = 250;

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
    const tried = new Set<Replica>();
    const sending: Sending = { request, onOutcome, tried, call: null, hasOutcome: false };
    this.#dispatch(sending, this.#choose(this.#replicas));
    return {
      abort: () => {
        sending.call?.abort();
        // While it is found out why its connection was lost, it has no call any more.
        this.#tell(sending, { kind: "aborted" });
      },
    };
  }

  #tell(sending: Sending, outcome: UpstreamOutcome): void {
    if (sending.hasOutcome) return;
    sending.hasOutcome = true;
    sending.onOutcome(outcome);
  }

  #dispatch(sending: Sending, replica: Replica): void {
    const { request, tried } = sending;
    tried.add(replica);
    const call = new HttpCall(replica, this.#options, (ended) => {
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
    switch (ended.kind) {
      case "lost":
        this.#verify(replica, sending, ended.detail);
        return;
      case "unreachable": {
        replica.notReached();
        // Nothing was sent, so another replica can have it.
        const { tried } = sending;
        const others = this.#replicas.filter((other) => !tried.has(other) && !other.avoided);
        if (others.length > 0) this.#dispatch(sending, this.#choose(others));
        // What the client library refuses outright fails before `send` has returned.
        else queueMicrotask(() => this.#tell(sending, ended));
        return;
      }
      case "answer":
        replica.reached();
        break;
      case "timeout":
        this.#tell(sending, { kind: "timeout", afterMs: this.#options.requestTimeoutMs });
        return;
      case "oversized":
        this.#tell(sending, { kind: "oversized", limitBytes: this.#options.answerSizeBytes });
        return;
      case "aborted":
        break;
    }
    this.#tell(sending, ended);
  }

  /**
   * A connection was lost with a request on it. The backend died if it can't be reached now, or if
   * every other request it had was lost too; else only this connection broke.
   */
  #verify(replica: Replica, sending: Sending, detail: string): void {
    const running = this.#verifying.get(replica);
    const check = running ?? { lost: [], inFlightBefore: replica.inFlight + 1 };
    check.lost.push({ sending, detail });
    if (running) return;
    this.#verifying.set(replica, check);
    void replica.alive().then((alive) => {
      this.#verifying.delete(replica);
      const allLost = check.lost.length > 1 && check.lost.length >= check.inFlightBefore;
      if (!alive) replica.notReached();
      for (const one of check.lost) {
        const upstreamDied = !alive || allLost;
        this.#tell(one.sending, { kind: "cut", detail: one.detail, upstreamDied });
      }
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
    for (const { lost } of this.#verifying.values()) {
      for (const { sending } of lost) this.#tell(sending, { kind: "aborted" });
    }
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
  readonly #options: HttpUpstreamOptions;
  readonly #replica: Replica;
  readonly #onEnd: (ended: CallEnd) => void;
  readonly #client: Client;
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;
  #status = 0;
  #retryAfterMs: number | null = null;
  readonly #chunks: Uint8Array[] = [];
  #sizeBytes = 0;

  constructor(replica: Replica, options: HttpUpstreamOptions, onEnd: (ended: CallEnd) => void) {
    this.#replica = replica;
    this.#options = options;
    this.deadlineMs = options.clock.monotonicMs() + options.requestTimeoutMs;
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
    this.#ended = true;
    const reason = new Error(ended.kind);
    // First the connection: the next request may be sent as soon as this one has ended.
    if (this.#controller) this.#controller.abort(reason);
    // Still connecting: there is no request to abort yet.
    else void this.#client.destroy(reason);
    this.#finish(ended);
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
    this.#retryAfterMs = readRetryAfter(headers, this.#options.clock.now());
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > this.#options.answerSizeBytes) this.end({ kind: "oversized" });
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
