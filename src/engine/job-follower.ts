// Follows a job that an upstream has begun for a line until it has ended. Whatever keeps the upstream from
// telling is a condition of the lane, and is waited out; only a job that it does not know any more is lost.

import { readAnswer } from "../core/result-line.ts";
import { judge, type LineOutcome } from "../core/retry.ts";
import type { Upstream, UpstreamOutcome, UpstreamRequest } from "../core/upstream.ts";
import type { LaneEffect } from "../lanes/lane.ts";
import { readJobState, type StartedJob } from "./started-job.ts";

export interface FollowOptions {
  upstream: Upstream;
  job: StartedJob;
  /** Of the endpoint, such as `/v1/videos`. */
  path: string;
  requestId: string;
  /** Told what each look at the job shows of the lane. */
  onEffect: (effect: LaneEffect) => void;
  signal: AbortSignal;
}

/** Time between two looks at a job, in milliseconds: from the first growing to the longest. */
const LOOKS = { firstMs: 1_000, growth: 1.5, longestMs: 10_000 };
/** So many successes in a row that show no job, and it is taken for lost. */
const BLANK_LOOKS = 10;

/** Answers what the upstream says of the ended job, or that the job is lost; `aborted` soon after the signal. */
export async function followJob(options: FollowOptions): Promise<LineOutcome> {
  const { upstream, job, path, requestId, onEffect, signal } = options;
  const request: UpstreamRequest = {
    method: "GET",
    path: `${path}/${encodeURIComponent(job.id)}`,
    contentType: "",
    body: new Uint8Array(0),
    replica: job.replica,
    requestId,
  };
  let waitMs = LOOKS.firstMs;
  let blankLooks = 0;
  while (await pause(waitMs, signal)) {
    const outcome = await exchange(upstream, request, signal);
    const look = lookAt(outcome, upstream.name, path, job.id);
    if (look.outcome) return look.outcome;
    blankLooks = look.isBlank ? blankLooks + 1 : 0;
    if (blankLooks === BLANK_LOOKS) return { kind: "job-lost", jobId: job.id, status: 200 };
    onEffect(look.effect);
    waitMs = Math.min(waitMs * LOOKS.growth, LOOKS.longestMs);
    if (look.effect.kind === "hold") waitMs = Math.max(waitMs, look.effect.retryAfterMs ?? 0);
  }
  return { kind: "aborted" };
}

type Look =
  | { outcome: LineOutcome }
  /** `isBlank`: a success that shows no job, which says nothing of the lane, and not that the job is gone. */
  | { outcome: null; effect: LaneEffect; isBlank: boolean };

function lookAt(outcome: UpstreamOutcome, upstream: string, endpoint: string, jobId: string): Look {
  const state = readJobState(outcome);
  if (state?.hasEnded) return { outcome };
  if (state) return { outcome: null, effect: { kind: "success" }, isBlank: false };
  if (outcome.kind === "answer" && outcome.status >= 200 && outcome.status < 300) {
    return { outcome: null, effect: { kind: "nothing" }, isBlank: true };
  }
  const answer = outcome.kind === "answer" ? readAnswer(outcome.body) : null;
  const verdict = judge(outcome, answer, { upstream, endpoint });
  if (verdict.kind === "aborted") return { outcome };
  const isAboutLane = verdict.kind === "pause" && verdict.scope === "lane";
  if (isAboutLane || verdict.kind === "retry" || verdict.kind === "suspect") {
    const retryAfterMs = verdict.kind === "pause" ? verdict.retryAfterMs : null;
    const { reason } = verdict;
    const effect: LaneEffect = { kind: "hold", scope: "lane", reason, retryAfterMs };
    return { outcome: null, effect, isBlank: false };
  }
  // An answer that refuses just this job.
  const status = outcome.kind === "answer" ? outcome.status : 0;
  return { outcome: { kind: "job-lost", jobId, status } };
}

/** Sends a request and waits for its outcome; ends it when the signal is aborted. */
export function exchange(
  upstream: Upstream,
  request: UpstreamRequest,
  signal: AbortSignal,
): Promise<UpstreamOutcome> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve({ kind: "aborted" });
      return;
    }
    const abort = () => call.abort();
    const call = upstream.send(request, (outcome) => {
      signal.removeEventListener("abort", abort);
      resolve(outcome);
    });
    signal.addEventListener("abort", abort);
  });
}

/** False when the signal ended it. */
function pause(waitMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve(!signal.aborted);
    };
    const timer = setTimeout(end, waitMs);
    signal.addEventListener("abort", end);
  });
}
