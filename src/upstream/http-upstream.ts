// An upstream over HTTP: picks a replica, sends, collects the answer, and says what happened as a
// value. Also tells a lost connection from a dead backend.

import type { Clock } from "../core/clock.ts";
import { Roster } from "../core/roster.ts";
import type {
  AttachmentForm,
  Discovery,
  Upstream,
  UpstreamCall,
  UpstreamOutcome,
  UpstreamRequest,
} from "../core/upstream.ts";
import { AnswerIntake } from "./answer-intake.ts";
import { type CallEnd, HttpCall } from "./http-call.ts";
import { Replica } from "./replica.ts";

export interface HttpUpstreamOptions {
  name: string;
  /** Each ends in the version: `http://127.0.0.1:8000/v1`. */
  baseUrls: readonly string[];
  apiKey: string | null;
  models: readonly string[] | null;
  endpoints: readonly string[];
  attachments: AttachmentForm;
  requestTimeoutMs: number;
  answerSizeBytes: number;
  clock: Clock;
}

/** A request on its way: to one replica after the other, until one can be reached. */
class Sending implements UpstreamCall {
  readonly request: UpstreamRequest;
  /** Replicas that could not be reached. */
  readonly unreached: Replica[] = [];
  readonly #onOutcome: (outcome: UpstreamOutcome) => void;
  call: HttpCall | null = null;
  /** It was sent again because a used connection turned out to be closed. */
  resent = false;
  hasOutcome = false;

  constructor(request: UpstreamRequest, onOutcome: (outcome: UpstreamOutcome) => void) {
    this.request = request;
    this.#onOutcome = onOutcome;
  }

  abort(): void {
    this.call?.abort();
    // While it is found out why its connection was lost, it has no call any more.
    this.tell({ kind: "aborted" });
  }

  tell(outcome: UpstreamOutcome): void {
    if (this.hasOutcome) return;
    this.hasOutcome = true;
    try {
      this.#onOutcome(outcome);
    } catch (error) {
      // Undici would swallow it, and the request would be in flight for ever.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** A request whose connection was lost. */
interface LostRequest {
  readonly sending: Sending;
  readonly detail: string;
  readonly mayBeStale: boolean;
}

/** A question whether a replica is alive, and who waits for the answer. */
interface Verification {
  readonly lost: LostRequest[];
  readonly inFlightBefore: number;
}

/** How often running requests are held against the timeout: one timer for all of them. */
const TIMEOUT_CHECK_MS = 250;

export class HttpUpstream implements Upstream {
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly attachments: AttachmentForm;
  readonly configuredModels: readonly string[] | null;
  readonly #options: HttpUpstreamOptions;
  readonly #replicas: Replica[];
  readonly #calls = new Roster<HttpCall>();
  readonly #intake = new AnswerIntake();
  readonly #verifying = new Map<Replica, Verification>();
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(options: HttpUpstreamOptions) {
    this.name = options.name;
    this.endpoints = options.endpoints;
    this.attachments = options.attachments;
    this.configuredModels = options.models;
    this.#options = options;
    const headers = ["accept", "application/json", "user-agent", "offpeak"];
    if (options.apiKey !== null) headers.push("authorization", `Bearer ${options.apiKey}`);
    this.#replicas = options.baseUrls.map((url) => new Replica(url, headers, options.clock));
  }

  send(request: UpstreamRequest, onOutcome: (outcome: UpstreamOutcome) => void): UpstreamCall {
    const sending = new Sending(request, onOutcome);
    this.#route(sending, this.#pinned(request) ?? this.#choose(this.#replicas));
    return sending;
  }

  /**
   * Sends to the replica. One that could not be reached must answer a question first: something in
   * front of a dead backend may accept connections, and would make every line look like its killer.
   */
  #route(sending: Sending, replica: Replica): void {
    if (this.#isClosed) {
      queueMicrotask(() => sending.tell({ kind: "aborted" }));
      return;
    }
    if (!replica.isDoubtful) {
      this.#dispatch(sending, replica, false);
      return;
    }
    void replica.alive().then((isAlive) => {
      if (sending.hasOutcome) return;
      if (isAlive) this.#dispatch(sending, replica, false);
      else this.#settle(sending, replica, { kind: "unreachable", detail: "it does not answer" });
    });
  }

  #dispatch(sending: Sending, replica: Replica, fresh: boolean): void {
    const { mayStart } = sending.request;
    const call = new HttpCall(replica, this.#intake, this.#options, fresh, mayStart, (ended) => {
      this.#calls.remove(call);
      sending.call = null;
      this.#settle(sending, replica, ended);
    });
    sending.call = call;
    this.#calls.add(call);
    this.#timer ??= setInterval(() => this.#checkTimeouts(), TIMEOUT_CHECK_MS).unref();
    call.start(replica.request(sending.request));
  }

  /** The replica that the request must go to; undefined when any may have it. */
  #pinned({ replica }: UpstreamRequest): Replica | undefined {
    if (replica === null) return undefined;
    return this.#replicas.find(({ baseUrl }) => baseUrl === replica);
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
        this.#verify(replica, { ...ended, sending });
        return;
      case "unreachable": {
        replica.notReached();
        // Nothing was sent, so another replica can have it.
        const { unreached, request } = sending;
        unreached.push(replica);
        const others = this.#pinned(request)
          ? []
          : this.#replicas.filter((other) => !unreached.includes(other) && !other.avoided);
        if (others.length > 0) this.#route(sending, this.#choose(others));
        // What the client library refuses outright fails before `send` has returned.
        else queueMicrotask(() => sending.tell(ended));
        return;
      }
      case "answer":
        replica.reached();
        sending.tell(ended);
        return;
      case "timeout":
        sending.tell({ kind: "timeout", afterMs: this.#options.requestTimeoutMs });
        return;
      case "oversized":
        sending.tell({ kind: "oversized", limitBytes: this.#options.answerSizeBytes });
        return;
      case "withheld":
        // The connection may have been open: then this is before `send` has returned.
        queueMicrotask(() => sending.tell(ended));
        return;
      case "aborted":
        sending.tell(ended);
    }
  }

  /**
   * A connection was lost with a request on it. The backend died if it can't be reached now, or if
   * every other request it had was lost too; else only this connection broke.
   */
  #verify(replica: Replica, lost: LostRequest): void {
    const running = this.#verifying.get(replica);
    const check = running ?? { lost: [], inFlightBefore: replica.inFlight + 1 };
    check.lost.push(lost);
    if (running) return;
    this.#verifying.set(replica, check);
    void replica.alive().then((alive) => {
      this.#verifying.delete(replica);
      const allLost = check.lost.length > 1 && check.lost.length >= check.inFlightBefore;
      const upstreamDied = !alive || allLost;
      for (const { sending, detail, mayBeStale } of check.lost) {
        if (mayBeStale && !upstreamDied && !sending.resent && !sending.hasOutcome) {
          // The backend may close a connection at the moment at which it is used again.
          sending.resent = true;
          this.#dispatch(sending, replica, true);
        } else {
          sending.tell({ kind: "cut", detail, upstreamDied });
        }
      }
    });
  }

  #checkTimeouts(): void {
    const now = this.#options.clock.monotonicMs();
    const late = this.#calls.members.filter(({ deadlineMs }) => deadlineMs <= now);
    for (const call of late) call.end({ kind: "timeout" });
    if (this.#calls.size === 0 && this.#timer) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  holdAnswers(): () => void {
    return this.#intake.hold();
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
    this.#isClosed = true;
    if (this.#timer) clearInterval(this.#timer);
    for (const call of this.#calls.members.slice()) call.abort();
    for (const { lost } of this.#verifying.values()) {
      for (const { sending } of lost) sending.tell({ kind: "aborted" });
    }
    await Promise.all(this.#replicas.map((replica) => replica.close()));
  }
}

function rank(replica: Replica): number {
  return replica.inFlight + (replica.avoided ? 1_000_000 : 0);
}
