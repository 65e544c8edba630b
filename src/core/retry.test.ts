import fc from "fast-check";
import { expect, test } from "vitest";
import { readAnswer } from "./result-line.ts";
import { backoffMs, judge, type LineOutcome, type Verdict } from "./retry.ts";

const context = { upstream: "gpu", endpoint: "/v1/embeddings" };

function judged(status: number, body = '{"error":{"message":"no"}}'): Verdict {
  const bytes = new TextEncoder().encode(body);
  const about = { status, retryAfterMs: 1_500, replica: "http://gpu/v1" };
  const outcome = { kind: "answer", body: bytes, ...about } as const;
  return judge(outcome, readAnswer(bytes), context);
}

const output: Verdict = { kind: "record", lineClass: "output" };
const error: Verdict = { kind: "record", lineClass: "error" };
const retry = (reason: string): Verdict => ({ kind: "retry", reason, spent: { kind: "answer" } });
const lane = (what: string): Verdict => {
  return { kind: "pause", scope: "lane", reason: `upstream gpu ${what}`, retryAfterMs: 1_500 };
};
const endpointPause: Verdict = {
  kind: "pause",
  scope: "endpoint",
  reason:
    "upstream gpu answers 404 to POST /v1/embeddings: it no longer serves the model, or not this endpoint",
  retryAfterMs: 1_500,
};
const quota = lane("says that the quota is used up");
const noQuota = '{"error":{"code":"insufficient_quota"}}';

const answers: [status: number, verdict: Verdict, body?: string][] = [
  [200, output],
  [201, output],
  [299, output, "null"],
  [200, retry("upstream gpu answered 200 with a body that is not JSON"), "<html>"],
  [204, retry("upstream gpu answered 204 with a body that is not JSON"), ""],
  [301, lane("redirects (301); check its base URL")],
  [308, lane("redirects (308); check its base URL")],
  [400, error],
  [400, error, "not JSON"],
  [401, lane("refuses the API key (401); check the upstream's api_key")],
  [402, lane("asks for payment (402); check the account")],
  [403, lane("refuses access (403); check the upstream's api_key and its permissions")],
  [404, endpointPause],
  [405, error],
  [408, retry("upstream gpu answered 408")],
  [409, retry("upstream gpu answered 409")],
  [413, error],
  [422, error],
  [425, retry("upstream gpu answered 425")],
  [429, lane("is rate limiting (429)")],
  [429, quota, noQuota],
  [429, quota, '{"error":{"type":"insufficient_quota","code":null}}'],
  [403, quota, noQuota],
  [400, quota, noQuota],
  [500, retry("upstream gpu answered 500")],
  [501, error],
  [502, lane("is unavailable (502)")],
  [503, lane("is unavailable (503)")],
  [504, retry("upstream gpu answered 504")],
  [507, retry("upstream gpu answered 507")],
  [529, lane("is overloaded (529)")],
  [599, retry("upstream gpu answered 599")],
];

test.each(answers)("an answer of %i", (status, verdict, body) => {
  expect(judged(status, body)).toEqual(verdict);
});

const lost = "The connection to the model was lost before its whole answer had arrived (reset).";
const outcomes: [outcome: LineOutcome, verdict: Verdict][] = [
  [
    { kind: "unreachable", detail: "connect ECONNREFUSED" },
    {
      kind: "pause",
      scope: "lane",
      reason: "upstream gpu can't be reached: connect ECONNREFUSED",
      retryAfterMs: null,
    },
  ],
  [
    { kind: "cut", detail: "reset", upstreamDied: true },
    { kind: "suspect", reason: "upstream gpu cut the connection: reset" },
  ],
  [
    { kind: "cut", detail: "reset", upstreamDied: false },
    {
      kind: "retry",
      reason: "upstream gpu cut the connection: reset",
      spent: { kind: "error", code: "upstream_unreachable", message: lost },
    },
  ],
  [
    { kind: "timeout", afterMs: 1_500 },
    {
      kind: "retry",
      reason: "upstream gpu did not answer in time",
      spent: {
        kind: "error",
        code: "request_timeout",
        message: "The model did not answer within 1.5 seconds.",
      },
    },
  ],
  [
    { kind: "oversized", limitBytes: 10 },
    {
      kind: "retry",
      reason: "The model's answer was larger than the 10 bytes allowed.",
      spent: {
        kind: "error",
        code: "answer_too_large",
        message: "The model's answer was larger than the 10 bytes allowed.",
      },
    },
  ],
  [
    { kind: "unsendable", code: "invalid_file", message: "It is gone." },
    { kind: "fail", code: "invalid_file", message: "It is gone." },
  ],
  [
    { kind: "unprepared", code: "invalid_file_url", message: "No answer." },
    {
      kind: "retry",
      reason: "No answer.",
      spent: { kind: "error", code: "invalid_file_url", message: "No answer." },
    },
  ],
  [
    { kind: "job-lost", jobId: "video_1", status: 404 },
    {
      kind: "retry",
      reason: "upstream gpu lost a job",
      spent: {
        kind: "error",
        code: "job_lost",
        message:
          "The model's server no longer knows the job video_1 that it began for this request (it answered 404).",
      },
    },
  ],
  [{ kind: "withheld" }, { kind: "withheld" }],
  [{ kind: "aborted" }, { kind: "aborted" }],
];

test.each(outcomes)("the outcome %j", (outcome, verdict) => {
  expect(judge(outcome, null, context)).toEqual(verdict);
});

test("pauses double from half the base to the most, and never more", () => {
  const pause = { baseMs: 500, maxMs: 30_000 };
  expect([1, 2, 3, 4].map((attempt) => backoffMs(attempt, pause, 0))).toEqual([
    250, 500, 1_000, 2_000,
  ]);
  expect([1, 2, 7, 1_000].map((attempt) => backoffMs(attempt, pause, 1))).toEqual([
    500, 1_000, 30_000, 30_000,
  ]);
});

test("a pause is always between half of what is due and all of it", () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), random, (attempt, drawn) => {
      const due = Math.min(30_000, 500 * 2 ** (attempt - 1));
      const waitMs = backoffMs(attempt, { baseMs: 500, maxMs: 30_000 }, drawn);
      expect(waitMs).toBeGreaterThanOrEqual(due / 2);
      expect(waitMs).toBeLessThanOrEqual(due);
    }),
  );
});
