// What an outcome means: for the line, or for everybody who uses the same lane. Pure policy. A line
// fails only for what the backend says about that line; an outage is a condition of the lane.

import type { LineClass, ReadAnswer } from "./result-line.ts";
import type { UpstreamOutcome } from "./upstream.ts";

/** What can become of a line that is to be sent: also without its request having been made, or with its job. */
export type LineOutcome =
  | UpstreamOutcome
  /** A file of the line can't be had, and never will. */
  | { kind: "unsendable"; code: AttachmentErrorCode; message: string }
  /** A file of the line can't be had at present. */
  | { kind: "unprepared"; code: AttachmentErrorCode; message: string }
  /** The upstream does not know the job any more that it had begun for the line. */
  | { kind: "job-lost"; jobId: string; status: number };

export type AttachmentErrorCode = "invalid_file" | "invalid_file_url";

export type Verdict =
  /** The answer is the line's result. */
  | { kind: "record"; lineClass: LineClass }
  /** The line fails, without an answer. */
  | { kind: "fail"; code: AttachmentErrorCode; message: string }
  /** Try the line again; when its attempts are spent, it fails with what `spent` says. */
  | { kind: "retry"; reason: string; spent: SpentOutcome }
  /** Nothing is wrong with the line. `scope` says who must wait, `reason` is shown to people. */
  | { kind: "pause"; scope: "lane" | "endpoint"; reason: string; retryAfterMs: number | null }
  /** The upstream died while this line was with it: resend it alone and last. */
  | { kind: "suspect"; reason: string }
  /** Nothing has been tried: the line is to be sent as if for the first time. */
  | { kind: "withheld" }
  | { kind: "aborted" };

/** What a line ends with when its last attempt did not succeed. */
export type SpentOutcome =
  | { kind: "answer" }
  | {
      kind: "error";
      code:
        | "request_timeout"
        | "upstream_unreachable"
        | "answer_too_large"
        | "job_lost"
        | AttachmentErrorCode;
      message: string;
    };

/** Statuses of a single request that another attempt may get past. */
const TRANSIENT_STATUSES = new Set([408, 409, 425, 500, 504]);
/** Statuses that speak of the backend or of our account with it, not of the line. */
const LANE_STATUSES = new Map([
  [401, "refuses the API key (401); check the upstream's api_key"],
  [402, "asks for payment (402); check the account"],
  [403, "refuses access (403); check the upstream's api_key and its permissions"],
  [429, "is rate limiting (429)"],
  [502, "is unavailable (502)"],
  [503, "is unavailable (503)"],
  [529, "is overloaded (529)"],
]);

/**
 * Judges one outcome. `answer` is what `readAnswer` found, when there is a body. `upstream` is its
 * name, for the reasons.
 */
export function judge(
  outcome: LineOutcome,
  answer: ReadAnswer | null,
  context: { upstream: string; endpoint: string },
): Verdict {
  switch (outcome.kind) {
    case "answer":
      return judgeAnswer(outcome.status, outcome.retryAfterMs, answer, context);
    case "unreachable": {
      const reason = `upstream ${context.upstream} can't be reached: ${outcome.detail}`;
      return { kind: "pause", scope: "lane", reason, retryAfterMs: null };
    }
    case "cut": {
      const reason = `upstream ${context.upstream} cut the connection: ${outcome.detail}`;
      if (outcome.upstreamDied) return { kind: "suspect", reason };
      return {
        kind: "retry",
        reason,
        spent: {
          kind: "error",
          code: "upstream_unreachable",
          message: `The connection to the model was lost before its whole answer had arrived (${outcome.detail}).`,
        },
      };
    }
    case "timeout": {
      const message = `The model did not answer within ${outcome.afterMs / 1000} seconds.`;
      const reason = `upstream ${context.upstream} did not answer in time`;
      return { kind: "retry", reason, spent: { kind: "error", code: "request_timeout", message } };
    }
    case "oversized": {
      const message = `The model's answer was larger than the ${outcome.limitBytes} bytes allowed.`;
      return {
        kind: "retry",
        reason: message,
        spent: { kind: "error", code: "answer_too_large", message },
      };
    }
    case "unsendable":
      return { kind: "fail", code: outcome.code, message: outcome.message };
    case "unprepared": {
      const { code, message } = outcome;
      return { kind: "retry", reason: message, spent: { kind: "error", code, message } };
    }
    case "job-lost": {
      const answered = outcome.status === 0 ? "" : ` (it answered ${outcome.status})`;
      const message = `The model's server no longer knows the job ${outcome.jobId} that it began for this request${answered}.`;
      const reason = `upstream ${context.upstream} lost a job`;
      return { kind: "retry", reason, spent: { kind: "error", code: "job_lost", message } };
    }
    case "withheld":
    case "aborted":
      return { kind: outcome.kind };
  }
}

function judgeAnswer(
  status: number,
  retryAfterMs: number | null,
  answer: ReadAnswer | null,
  { upstream, endpoint }: { upstream: string; endpoint: string },
): Verdict {
  const lane = (what: string): Verdict => {
    return { kind: "pause", scope: "lane", reason: `upstream ${upstream} ${what}`, retryAfterMs };
  };
  if (status >= 200 && status < 300) {
    if (answer?.json) return { kind: "record", lineClass: "output" };
    const reason = `upstream ${upstream} answered ${status} with a body that is not JSON`;
    return { kind: "retry", reason, spent: { kind: "answer" } };
  }
  if (answer?.errorCode === "insufficient_quota") return lane("says that the quota is used up");
  const condition = LANE_STATUSES.get(status);
  if (condition !== undefined) return lane(condition);
  if (status < 400) return lane(`redirects (${status}); check its base URL`);
  if (status === 404) {
    // The model was known when the batch was planned, and nothing else in a path can be missing.
    const reason = `upstream ${upstream} answers 404 to POST ${endpoint}: it no longer serves the model, or not this endpoint`;
    return { kind: "pause", scope: "endpoint", reason, retryAfterMs };
  }
  if (TRANSIENT_STATUSES.has(status) || status > 504) {
    const reason = `upstream ${upstream} answered ${status}`;
    return { kind: "retry", reason, spent: { kind: "answer" } };
  }
  return { kind: "record", lineClass: "error" };
}

/**
 * How long to wait before the next try, in milliseconds: doubling from `baseMs` to `maxMs`, the
 * upper half of it drawn at random so that many waiters spread out.
 * @param attempt 1 after the first failure
 * @param random in [0, 1)
 */
export function backoffMs(
  attempt: number,
  { baseMs, maxMs }: { baseMs: number; maxMs: number },
  random: number,
): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return full * (0.5 + random / 2);
}
