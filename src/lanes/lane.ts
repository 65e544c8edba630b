// A lane: one upstream and one model of it. Decides when the next request may be sent: below the
// concurrency limit, within the bytes in flight, and while its gates are open. Refilled from the
// completion of the request before; the only timer is the one that ends a pause.

import type { Clock } from "../core/clock.ts";
import type { Upstream } from "../core/upstream.ts";
import { BytesInFlight } from "./bytes-in-flight.ts";
import type { ExclusiveUse } from "./exclusive-use.ts";
import { Gate, type Pass } from "./gate.ts";

/**
 * How long a source is asked before the next one has its turn, where requests come back within that. Turns of single
 * requests would do, but with many batches open each line then finds the memory of another shard, and every flush
 * holds a few records of each: half again as much processor time a line. Where requests take longer, those that
 * come back at once would all be given to one source, so there turns are single requests.
 * @internal
 */
export const TURN_MS = 20;

/** How many requests a lane may have in flight. A feedback loop can stand here one day. */
export interface ConcurrencyLimit {
  current(): number;
  /** False while that can't be relied on: then nothing is sent. */
  readonly isTrusted: boolean;
}

/** Something that has requests for a lane. Asked in turn with the others. */
export interface LaneSource {
  readonly endpoint: string;
  /**
   * Whether a request can be started now: `none`; `one`; or `alone`, when it must be the only one
   * that the upstream has.
   */
  ready(): "none" | "one" | "alone";
  /** Sends one request; answers the size of its body. Called only when ready. The permit goes back with `finish`. */
  send(permit: Permit): number;
}

/** The right to have one request in flight on a lane. */
export interface Permit {
  readonly lane: Lane;
  /** Whether the request is the only one that the upstream has, by order. */
  readonly alone: boolean;
}

/** What the request's outcome means for everybody on the lane. */
export type LaneEffect =
  | { kind: "success" }
  | { kind: "hold"; scope: "lane" | "endpoint"; reason: string; retryAfterMs: number | null }
  | { kind: "nothing" };

/** What the lane knows of one endpoint. */
interface EndpointState {
  readonly gate: Gate;
  /** Requests that had an answer which shows that it and the model are there. */
  answered: number;
}

class HeldPermit implements Permit {
  readonly lane: Lane;
  readonly alone: boolean;
  readonly endpoint: EndpointState;
  lanePass: Pass;
  readonly endpointPass: Pass;
  /** When it was given, on the monotonic clock. */
  readonly sinceMs: number;
  sizeBytes = 0;
  /** Of them, those that were asked for with `reserve`. */
  reservedBytes = 0;
  /** Its request has had an answer, and now only looks how its job goes. */
  isLooking = false;
  isFinished = false;

  constructor(
    lane: Lane,
    sinceMs: number,
    alone: boolean,
    lanePass: Pass,
    endpoint: EndpointState,
  ) {
    this.lane = lane;
    this.sinceMs = sinceMs;
    this.alone = alone;
    this.lanePass = lanePass;
    this.endpoint = endpoint;
    this.endpointPass = endpoint.gate.pass();
  }
}

export interface LaneOptions {
  upstream: Upstream;
  model: string;
  limit: ConcurrencyLimit;
  /** Shared by all lanes of the upstream. */
  exclusiveUse: ExclusiveUse;
  clock: Clock;
  /** Called when the reason for which the lane is paused changes; null: it is not, or was not. */
  onPause: (reason: string | null, before: string | null) => void;
}

export class Lane {
  readonly upstream: Upstream;
  readonly model: string;
  readonly #limit: ConcurrencyLimit;
  readonly #exclusiveUse: ExclusiveUse;
  readonly #clock: Clock;
  readonly #onPause: LaneOptions["onPause"];
  readonly #gate: Gate;
  readonly #endpoints = new Map<string, EndpointState>();
  readonly #sources: LaneSource[] = [];
  /** The source whose turn it is, and since when; null: it has not begun. */
  #next = 0;
  #turnSinceMs: number | null = null;
  /** How long the request took that came back last. */
  #tookMs = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  readonly #bytes = new BytesInFlight();
  /** A request that must be alone is in flight. */
  #isAlone = false;
  #shownReason: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pumping = false;
  #again = false;

  constructor(options: LaneOptions) {
    this.upstream = options.upstream;
    this.model = options.model;
    this.#limit = options.limit;
    this.#exclusiveUse = options.exclusiveUse;
    this.#exclusiveUse.join(this);
    this.#clock = options.clock;
    this.#onPause = options.onPause;
    this.#gate = new Gate(options.clock);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get concurrency(): number {
    return this.#limit.current();
  }

  /** Why the lane, or one endpoint of it, is paused; null when it is not. */
  get reason(): string | null {
    return this.#shownReason;
  }

  /** Why nothing of `endpoint` is sent; null while it may be. */
  pausedBecause(endpoint: string): string | null {
    return this.#gate.reason ?? this.#endpoints.get(endpoint)?.gate.reason ?? null;
  }

  /** How many requests to the endpoint had an answer that shows that it and the model are there. */
  answered(endpoint: string): number {
    return this.#endpoints.get(endpoint)?.answered ?? 0;
  }

  add(source: LaneSource): void {
    this.#sources.push(source);
    this.pump();
  }

  remove(source: LaneSource): void {
    const at = this.#sources.indexOf(source);
    if (at < 0) return;
    this.#sources.splice(at, 1);
    if (at < this.#next) this.#next--;
    else if (at === this.#next) this.#turnSinceMs = null;
    // It may have been the one for which the others wait.
    this.pump();
  }

  /** Starts as many requests as may be started. Call it when a source has become ready. */
  pump(): void {
    // A source that starts or fails at once calls back in here: loop instead of nesting.
    this.#again = true;
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#again) {
        this.#again = false;
        while (this.#hasRoom() && this.#startOne());
      }
    } finally {
      this.#pumping = false;
    }
    this.#wakeAfterPause();
  }

  #hasRoom(): boolean {
    if (this.#isAlone || this.#inFlight >= this.#limit.current()) return false;
    if (!this.#limit.isTrusted) return false;
    if (!this.#exclusiveUse.admits(this) || this.#gate.waitMs > 0) return false;
    return this.#bytes.hasRoom;
  }

  #startOne(): boolean {
    this.#endTurnInTime();
    for (let tried = 0; tried < this.#sources.length; tried++) {
      if (this.#next >= this.#sources.length) this.#next = 0;
      const source = this.#sources[this.#next] as LaneSource;
      const endpoint = this.#endpoint(source.endpoint);
      const ready = endpoint.gate.waitMs === 0 ? source.ready() : "none";
      // Let the upstream run empty for it; its turn stays, however long that takes.
      if (ready === "alone" && !this.#exclusiveUse.claim(this)) {
        this.#turnSinceMs = null;
        return false;
      }
      if (ready === "none") {
        this.#passOn();
        continue;
      }
      if (ready === "one") this.#exclusiveUse.giveUp(this);
      this.#start(source, endpoint, ready === "alone");
      return true;
    }
    this.#exclusiveUse.giveUp(this);
    return false;
  }

  #endTurnInTime(): void {
    if (this.#sources.length === 1 || this.#turnSinceMs === null) return;
    if (this.#clock.monotonicMs() - this.#turnSinceMs >= TURN_MS) this.#passOn();
  }

  #passOn(): void {
    this.#next++;
    this.#turnSinceMs = null;
  }

  #start(source: LaneSource, endpoint: EndpointState, alone: boolean): void {
    const sinceMs = this.#clock.monotonicMs();
    if (alone || this.#tookMs >= TURN_MS) this.#passOn();
    else this.#turnSinceMs ??= sinceMs;
    const permit = new HeldPermit(this, sinceMs, alone, this.#gate.pass(), endpoint);
    this.#inFlight++;
    this.#isAlone = alone;
    this.#exclusiveUse.begin();
    const sizeBytes = source.send(permit);
    if (permit.isFinished) return;
    permit.sizeBytes += sizeBytes;
    this.#bytes.add(sizeBytes);
  }

  /** Waits until the permit's request may have so many bytes more, beyond those that `send` told of. */
  async reserve(permit: Permit, sizeBytes: number): Promise<void> {
    const held = permit as HeldPermit;
    await this.#bytes.reserve(sizeBytes);
    if (held.isFinished) {
      this.#bytes.remove(sizeBytes, sizeBytes);
      this.pump();
      return;
    }
    held.sizeBytes += sizeBytes;
    held.reservedBytes += sizeBytes;
  }

  /** What was reserved for the permit has turned out to be this much. */
  resize(permit: Permit, sizeBytes: number): void {
    const held = permit as HeldPermit;
    if (held.isFinished) return;
    const unneeded = held.reservedBytes - sizeBytes;
    held.sizeBytes -= unneeded;
    held.reservedBytes = sizeBytes;
    this.#bytes.remove(unneeded, unneeded);
    this.pump();
  }

  /**
   * What a request that goes on shows meanwhile. The first time it means the same for the others as with
   * `finish`; from then on it only looks at its job, which says less: see `#applyLook`.
   */
  note(permit: Permit, effect: LaneEffect): void {
    const held = permit as HeldPermit;
    if (held.isFinished) return;
    this.#apply(held, effect);
    held.lanePass = this.#gate.look();
    held.isLooking = true;
    this.pump();
  }

  /** Gives a permit back: the request has its outcome. Refills the lane at once. */
  finish(permit: Permit, effect: LaneEffect): void {
    const held = permit as HeldPermit;
    const { sizeBytes, reservedBytes, alone } = held;
    held.isFinished = true;
    this.#tookMs = this.#clock.monotonicMs() - held.sinceMs;
    this.#inFlight--;
    this.#bytes.remove(sizeBytes, reservedBytes);
    this.#exclusiveUse.end();
    if (alone) this.#isAlone = false;
    this.#apply(held, effect);
    // After its turn, and while it is paused, the others go on.
    if (alone || effect.kind === "hold") this.#exclusiveUse.giveUp(this);
    this.pump();
    this.#exclusiveUse.wakeHolder();
  }

  #apply(held: HeldPermit, effect: LaneEffect): void {
    if (held.isLooking) this.#applyLook(held, effect);
    else this.#applyAnswer(held, effect);
    // Only these two can change it.
    if (effect.kind === "hold" || this.#shownReason !== null) this.#showPause();
  }

  /**
   * A look at a job shows whether the backend answers, not whether it takes more work: it can shut the
   * lane, but opens it only when its pause is over, and says nothing of the endpoint.
   */
  #applyLook({ lanePass }: HeldPermit, effect: LaneEffect): void {
    if (effect.kind === "hold") this.#gate.hold(lanePass, effect.reason, effect.retryAfterMs);
    else if (effect.kind === "success" && this.#gate.waitMs === 0) this.#gate.succeed(lanePass);
  }

  #applyAnswer({ lanePass, endpoint, endpointPass }: HeldPermit, effect: LaneEffect): void {
    if (effect.kind === "success") {
      this.#gate.succeed(lanePass);
      endpoint.gate.succeed(endpointPass);
      endpoint.answered++;
    } else if (effect.kind === "nothing") {
      this.#gate.leave(lanePass);
      endpoint.gate.leave(endpointPass);
    } else if (effect.scope === "lane") {
      this.#gate.hold(lanePass, effect.reason, effect.retryAfterMs);
      endpoint.gate.leave(endpointPass);
    } else {
      endpoint.gate.hold(endpointPass, effect.reason, effect.retryAfterMs);
      // A refusal for one endpoint still shows that the backend answers.
      this.#gate.succeed(lanePass);
    }
  }

  #endpoint(path: string): EndpointState {
    let endpoint = this.#endpoints.get(path);
    if (!endpoint) {
      endpoint = { gate: new Gate(this.#clock), answered: 0 };
      this.#endpoints.set(path, endpoint);
    }
    return endpoint;
  }

  #showPause(): void {
    let reason = this.#gate.reason;
    for (const { gate } of this.#endpoints.values()) reason ??= gate.reason;
    if (reason === this.#shownReason) return;
    const before = this.#shownReason;
    this.#shownReason = reason;
    this.#onPause(reason, before);
  }

  #wakeAfterPause(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#sources.length === 0 || this.#shownReason === null) return;
    let waitMs = this.#gate.waitMs;
    if (waitMs === 0) {
      const waits = [...this.#endpoints.values()].map(({ gate }) => gate.waitMs);
      waitMs = Math.min(Number.POSITIVE_INFINITY, ...waits.filter((ms) => ms > 0));
    }
    if (Number.isFinite(waitMs)) this.#timer = setTimeout(() => this.pump(), waitMs);
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
