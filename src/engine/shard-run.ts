// Runs one claimed shard: hands its lines to the lanes, judges what comes back, has results
// recorded, and gives the shard back finished or as far as it came. Nothing is sent outside the
// trust window, and nothing that is recorded is sent again.

import { answerLine, errorLine, type ReadAnswer, readAnswer } from "../core/result-line.ts";
import {
  backoffMs,
  judge,
  type LineOutcome,
  type SpentOutcome,
  type Verdict,
} from "../core/retry.ts";
import { Roster } from "../core/roster.ts";
import type { ShardClaim, ShardProgress } from "../core/shard-store.ts";
import { graceMs, isPeaceful, mayRecord, type StopReason } from "../core/stop-reason.ts";
import { LeaseLostError, StorageUnavailableError } from "../core/store.ts";
import type { Lane, LaneSource, Permit } from "../lanes/lane.ts";
import type { Tally } from "../observability/tallied-counter.ts";
import { effectOf } from "./lane-effect.ts";
import { LineFeed, type LoadedLine } from "./line-feed.ts";
import { type Flight, LineSender } from "./line-sender.ts";
import { NotFoundAnswers } from "./not-found.ts";
import { ResultRecorder } from "./result-recorder.ts";
import { RetryQueue } from "./retry-queue.ts";
import { type RunEnd, type ShardRunOptions, endOf } from "./shard-run-options.ts";

const RETRY_PAUSE = { baseMs: 500, maxMs: 30_000 };
/** Deaths of an upstream with a line alone in flight, after which the line is to blame. */
const DEATHS_TO_BLAME = 3;

export class ShardRun implements LaneSource {
  readonly claim: ShardClaim;
  readonly endpoint: string;
  /** Resolves when the shard has been finished or given back. Never rejects. */
  readonly ended: Promise<RunEnd>;
  readonly #options: ShardRunOptions;
  readonly #recorder: ResultRecorder;
  readonly #feed: LineFeed;
  readonly #retries: RetryQueue;
  readonly #sender: LineSender;
  readonly #flights = new Roster<Flight>();
  /** Of attempts, by what came of them. */
  readonly #tallies = new Map<Lane, Partial<Record<Verdict["kind"], Tally>>>();
  readonly #attempts = new Map<number, number>();
  readonly #notFound: NotFoundAnswers;
  /** Lines answered 404 of which the upstream is being asked. */
  readonly #askedAbout = new Set<number>();
  /** Lines to send alone, after all others: position → deaths with it alone in flight. */
  readonly #suspects = new Map<number, number>();
  /** The suspect whose turn it is. */
  #alone: number | null = null;
  /** Lines without a durable result. */
  #open: number;
  /** While the disk lags behind nothing is sent, and no answer is read: ends that. */
  #catchUp: (() => void) | null = null;
  #stopReason: StopReason | null = null;
  #graceTimer: NodeJS.Timeout | null = null;
  #closing = false;
  #end!: (how: RunEnd) => void;

  constructor(options: ShardRunOptions) {
    const { claim, batch, takenOver, plan, blobs, metrics } = options;
    this.#options = options;
    this.claim = claim;
    this.endpoint = batch.endpoint;
    this.#notFound = new NotFoundAnswers(batch.endpoint);
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#recorder = new ResultRecorder({
      blobs,
      metrics,
      claim,
      progress: takenOver.progress,
      onRecorded: () => {
        this.#open--;
        if (this.#catchUp && !this.#recorder.isBehind) {
          this.#catchUp();
          this.pump();
        }
        this.#proceed();
      },
      onFailure: (error) => this.#failed("storage-failed", error),
    });
    this.#sender = new LineSender({ ...options, recorder: this.#recorder });
    const indexes: number[] = [];
    for (let index = 0; index < plan.count; index++) {
      const lineNumber = plan.lineNumber(index);
      if (takenOver.recorded.has(lineNumber)) continue;
      const deaths = takenOver.suspects.get(lineNumber);
      if (deaths === undefined) indexes.push(index);
      else this.#suspects.set(index, deaths);
    }
    this.#open = indexes.length + this.#suspects.size;
    this.#feed = new LineFeed({
      reader: options.input,
      plan,
      indexes,
      onReady: () => this.pump(),
      onFailure: (error) => {
        const isAway = error instanceof StorageUnavailableError;
        this.#failed(isAway ? "input-away" : "input-damaged", error);
      },
    });
    this.#retries = new RetryQueue((index) => this.#feed.putBack(index));
  }

  /** A copy of the figures: of durable results only. */
  progress(): ShardProgress {
    const { progress } = this.#options.takenOver;
    return { ...progress, usage: { ...progress.usage } };
  }

  /** Whether it can be given back without losing count of the attempts of a line. */
  get mayYield(): boolean {
    return this.#attempts.size === 0;
  }

  /** Whether it sends no more. */
  get isStopping(): boolean {
    return this.#stopReason !== null;
  }

  /** Lines that wait to be sent. */
  get unsent(): number {
    return this.#feed.remaining + this.#retries.size + this.#suspects.size;
  }

  start(): void {
    const { lease, lanes } = this.#options;
    lease.lost.addEventListener("abort", () => this.stop("lease-lost"));
    if (lease.lost.aborted) this.stop("lease-lost");
    for (const lane of lanes) lane.add(this);
    this.#feed.fill();
    this.#proceed();
  }

  /** Has the lanes look for requests here: after a pause that no completion ends. */
  pump(): void {
    for (const lane of this.#options.lanes) lane.pump();
  }

  ready(): "none" | "one" | "alone" {
    const { isHeld, lease } = this.#options;
    const blocked = this.#stopReason !== null || this.#catchUp !== null || isHeld();
    if (blocked || !this.#feed.ready || !lease.trusted()) return "none";
    return this.#alone === null ? "one" : "alone";
  }

  send(permit: Permit): number {
    const { ids, clock, lowWater, onLow } = this.#options;
    const line = this.#feed.take();
    if (!line) throw new Error("asked to send without being ready");
    if (this.#feed.remaining === lowWater) onLow();
    const requestId = ids.requestId(clock.now());
    const flight: Flight = { line, permit, requestId, call: null, place: -1 };
    this.#flights.add(flight);
    return this.#sender.send(flight, (outcome) => this.#settle(flight, outcome));
  }

  #settle(flight: Flight, outcome: LineOutcome): void {
    const { line, permit } = flight;
    this.#flights.remove(flight);
    const answer = outcome.kind === "answer" ? readAnswer(outcome.body) : null;
    const upstream = permit.lane.upstream.name;
    let verdict = judge(outcome, answer, { upstream, endpoint: this.endpoint });
    if (verdict.kind === "pause" && verdict.scope === "endpoint") {
      const whose = this.#notFound.judge(line.index, permit.lane);
      if (whose === "line") verdict = { kind: "record", lineClass: "error" };
      else if (whose === "unclear") void this.#askAboutNotFound(flight, outcome, answer);
    }
    this.#tallyOf(permit.lane, verdict.kind).count++;
    if (mayRecord(this.#stopReason)) this.#apply(verdict, flight, outcome, answer);
    if (this.#recorder.isBehind) this.#fallBehind();
    // Only an answer says that nobody reads the request's bytes any more.
    this.#feed.release(line, outcome.kind === "answer");
    if (line.index === this.#alone) this.#alone = null;
    permit.lane.finish(permit, effectOf(verdict, outcome));
    this.#proceed();
  }

  #tallyOf(lane: Lane, result: Verdict["kind"]): Tally {
    let tallies = this.#tallies.get(lane);
    if (!tallies) this.#tallies.set(lane, (tallies = {}));
    return (tallies[result] ??= this.#options.metrics.attempts.tally({
      upstream: lane.upstream.name,
      result,
    }));
  }

  #fallBehind(): void {
    if (this.#catchUp || this.#closing) return;
    const releases = this.#options.lanes.map(({ upstream }) => upstream.holdAnswers());
    this.#catchUp = () => {
      this.#catchUp = null;
      for (const release of releases) release();
    };
  }

  #apply(verdict: Verdict, flight: Flight, outcome: LineOutcome, answer: ReadAnswer | null): void {
    const { index } = flight.line;
    switch (verdict.kind) {
      case "record":
        this.#recordAnswer(flight, verdict.lineClass, outcome, answer);
        return;
      case "fail":
        this.#recordError(flight.line, verdict);
        return;
      case "retry": {
        const attempts = (this.#attempts.get(index) ?? 0) + 1;
        this.#attempts.set(index, attempts);
        if (attempts >= this.#options.settings.maxAttempts) {
          this.#recordSpent(flight, verdict.spent, outcome, answer);
        } else if (this.#stopReason === null && !this.#suspects.has(index)) {
          const waitMs = backoffMs(attempts, RETRY_PAUSE, Math.random());
          this.#retries.add(index, this.#options.clock.monotonicMs(), waitMs);
        }
        return;
      }
      case "suspect":
        this.#suspect(flight);
        return;
      case "pause":
        if (this.#stopReason !== null) return;
        // A suspect stays one; any other line is simply sent again, unless it is being asked about.
        if (index === this.#alone || this.#askedAbout.has(index)) return;
        // Another line tells more about a lane that says 404 than the same one does.
        if (verdict.scope === "endpoint") this.#feed.putLast(index);
        else this.#feed.putBack(index);
        return;
      case "withheld":
        // A suspect gets its own turn again.
        if (this.#stopReason === null && index !== this.#alone) this.#feed.putBack(index);
        return;
      case "aborted":
        return;
    }
  }

  /** The only line that asks gets 404: it is to blame if the upstream still has the model. */
  async #askAboutNotFound(
    flight: Flight,
    outcome: LineOutcome,
    answer: ReadAnswer | null,
  ): Promise<void> {
    const { line, permit } = flight;
    if (line.index === this.#alone) return;
    this.#askedAbout.add(line.index);
    // The line's own bytes are given back meanwhile.
    const kept = { ...flight, line: { ...line, customId: new Uint8Array(line.customId) } };
    const isServed = await this.#notFound.isStillServed(permit.lane);
    this.#askedAbout.delete(line.index);
    if (this.#stopReason !== null || this.#closing) return;
    if (isServed) this.#recordAnswer(kept, "error", outcome, answer);
    else this.#feed.putLast(line.index);
  }

  #suspect({ line, permit }: Flight): void {
    const deaths = (this.#suspects.get(line.index) ?? 0) + (permit.alone ? 1 : 0);
    if (deaths < DEATHS_TO_BLAME) {
      this.#suspects.set(line.index, deaths);
      this.#recorder.recordSuspicion(line.lineNumber, deaths);
      return;
    }
    const message = `The model's server died ${deaths} times while this request was the only one it had.`;
    this.#recordError(line, { code: "upstream_crashed", message });
  }

  #recordSpent(
    flight: Flight,
    spent: SpentOutcome,
    outcome: LineOutcome,
    answer: ReadAnswer | null,
  ): void {
    if (spent.kind === "answer") this.#recordAnswer(flight, "error", outcome, answer);
    else this.#recordError(flight.line, spent);
  }

  #recordAnswer(
    { line, requestId }: Flight,
    lineClass: "output" | "error",
    outcome: LineOutcome,
    answer: ReadAnswer | null,
  ): void {
    if (outcome.kind !== "answer" || answer === null)
      throw new Error("an answer can be recorded only when there is one");
    const { ids, clock } = this.#options;
    this.#forget(line.index);
    const lineId = ids.lineId(clock.now());
    this.#recorder.record({
      lineNumber: line.lineNumber,
      lineClass,
      line: answerLine({ lineId, requestId }, line.customId, outcome, answer),
      usage: answer.usage,
      model: answer.model,
    });
  }

  #recordError(line: LoadedLine, error: { code: string; message: string }): void {
    const { ids, clock } = this.#options;
    this.#forget(line.index);
    this.#recorder.record({
      lineNumber: line.lineNumber,
      lineClass: "error",
      line: [errorLine(ids.lineId(clock.now()), line.customId, error)],
      usage: null,
      model: null,
    });
  }

  #forget(index: number): void {
    this.#attempts.delete(index);
    this.#suspects.delete(index);
  }

  /** Takes the next step that nothing else triggers: a suspect's turn, or the end. */
  #proceed(): void {
    const idle = this.#flights.size === 0;
    if (this.#open === 0 || (this.#stopReason !== null && idle)) {
      void this.#close();
      return;
    }
    if (!idle || this.#alone !== null || this.#stopReason !== null) return;
    if (this.#feed.remaining > 0 || this.#retries.size > 0) return;
    // Nothing is left to gather results from.
    this.#recorder.hurry();
    const [next] = this.#suspects.keys();
    if (next === undefined) return;
    this.#alone = next;
    this.#feed.putBack(next);
  }

  #failed(reason: "storage-failed" | "input-away" | "input-damaged", error: unknown): void {
    this.#options.log.error({ err: error, shard: this.claim.shardId, reason }, "shard stopped");
    this.stop(reason);
  }

  /** Sends no more; lines in flight get the grace time of the reason. */
  stop(reason: StopReason): void {
    if (this.#closing || (this.#stopReason !== null && !isPeaceful(this.#stopReason))) return;
    this.#stopReason = reason;
    for (const lane of this.#options.lanes) lane.remove(this);
    this.#feed.stop();
    this.#retries.clear();
    const waitMs = graceMs(reason, this.#options.settings);
    if (waitMs === 0) this.#abortFlights();
    else if (Number.isFinite(waitMs)) {
      this.#graceTimer = setTimeout(() => this.#abortFlights(), waitMs);
    }
    this.#proceed();
  }

  #abortFlights(): void {
    for (const { call } of this.#flights.members.slice()) call?.abort();
  }

  async #close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#graceTimer) clearTimeout(this.#graceTimer);
    this.#catchUp?.();
    for (const lane of this.#options.lanes) lane.remove(this);
    let how: RunEnd = "lost";
    try {
      how = await this.#giveUpClaim();
    } catch (error) {
      // The lease runs out by itself; who takes over finds all that is durable.
      const about = { err: error, shard: this.claim.shardId };
      if (!(error instanceof LeaseLostError)) {
        this.#options.log.error(about, "could not give a shard back");
      }
    }
    this.#options.lease.release();
    await this.#options.input.close();
    this.#end(how);
  }

  async #giveUpClaim(): Promise<RunEnd> {
    const { store, clock, lease } = this.#options;
    const { shardId, epoch } = this.claim;
    const durableBytes = await this.#recorder.close();
    // Renewing a claim that is just being given up would look like losing it.
    lease.release();
    if (this.#stopReason === "lease-lost") return "lost";
    if (this.#open > 0) {
      await store.shards.release(shardId, epoch, durableBytes, this.progress());
      return endOf(this.#stopReason);
    }
    const finished = await store.shards.finish(
      shardId,
      epoch,
      durableBytes,
      this.progress(),
      clock.now(),
    );
    return finished.batchSettled ? "batch-settled" : "finished";
  }
}
