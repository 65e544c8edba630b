// The videos that were asked for. A job goes from queued to in_progress to its end by the clock alone, with no
// timer. Jobs outlive modes, crashes and resets; beyond the capacity the oldest is forgotten once it has ended.
import { randomBytes } from "node:crypto";
import { type Clock, systemClock } from "../core/clock.ts";
import { FINGERPRINT } from "./answer-context.ts";
import type { VideoRequest } from "./media-request.ts";

interface VideoJob {
  id: string;
  model: string;
  request: VideoRequest;
  ending: "completed" | "failed";
  createdAt: number;
  startedMs: number;
}

const DEFAULT_CAPACITY = 10_000;
/** The share of its time that a job is queued. */
const QUEUED_SHARE = 0.1;
const ASSET_LIFETIME_SECONDS = 86_400;

export class VideoJobs {
  readonly #timeToVideoMs: number;
  readonly #clock: Clock;
  readonly #capacity: number;
  /** In the order of their creation, which is that of their ends. */
  readonly #jobs = new Map<string, VideoJob>();

  /** A job ends `timeToVideoMs` after its creation. */
  constructor(timeToVideoMs: number, clock: Clock = systemClock, capacity = DEFAULT_CAPACITY) {
    this.#timeToVideoMs = timeToVideoMs;
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** The new job's Video object, still queued; undefined where as many jobs as there may be go on already. */
  create(request: VideoRequest, model: string, ending: VideoJob["ending"]): object | undefined {
    if (this.#jobs.size >= this.#capacity && !this.#forgetOldest()) return undefined;
    // Not a serial number: another replica must not know the job by its id, nor a simulator started anew.
    const id = `video_sim${randomBytes(12).toString("hex")}`;
    const createdAt = this.#clock.now();
    const startedMs = this.#clock.monotonicMs();
    const job: VideoJob = { id, model, request, ending, createdAt, startedMs };
    this.#jobs.set(id, job);
    return this.#videoObject(job, 0);
  }

  /** The Video object as it stands now; undefined for an id nobody was given, or of a job long ended. */
  find(id: string): object | undefined {
    const job = this.#jobs.get(id);
    return job && this.#videoObject(job, this.#shareOf(job));
  }

  #forgetOldest(): boolean {
    const [oldest] = this.#jobs.values();
    return oldest !== undefined && this.#shareOf(oldest) >= 1 && this.#jobs.delete(oldest.id);
  }

  /** How much of its time has gone, 0 to 1. */
  #shareOf({ startedMs }: VideoJob): number {
    const elapsedMs = this.#clock.monotonicMs() - startedMs;
    return elapsedMs >= this.#timeToVideoMs ? 1 : elapsedMs / this.#timeToVideoMs;
  }

  #videoObject({ id, model, request, ending, createdAt }: VideoJob, share: number): object {
    const isCompleted = share === 1 && ending === "completed";
    const isFailed = share === 1 && ending === "failed";
    const status = share < QUEUED_SHARE ? "queued" : share < 1 ? "in_progress" : ending;
    const completedAt = seconds(createdAt + this.#timeToVideoMs);
    return {
      id,
      object: "video",
      model,
      status,
      progress: status === "queued" ? 0 : Math.min(Math.floor(share * 100), isFailed ? 99 : 100),
      created_at: seconds(createdAt),
      completed_at: isCompleted ? completedAt : null,
      expires_at: isCompleted ? completedAt + ASSET_LIFETIME_SECONDS : null,
      error: isFailed
        ? { code: "simulated_failure", message: "Simulated failure: asked for by the prompt." }
        : null,
      prompt: request.prompt,
      remixed_from_video_id: null,
      seconds: request.seconds,
      size: request.size,
      system_fingerprint: FINGERPRINT,
      received: request.received,
    };
  }
}

function seconds(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
