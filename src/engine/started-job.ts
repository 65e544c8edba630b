// A job that an upstream has begun for a line: read from its answers, kept in the journal, and enough to
// be followed by whoever owns the line later.

import type { UpstreamOutcome } from "../core/upstream.ts";

export interface StartedJob {
  /** Name of the upstream. */
  upstream: string;
  /** Base URL of the replica that has it. */
  replica: string;
  id: string;
}

/** What an answer says of a job. */
export type JobState = { id: string; hasEnded: boolean };

const ENDED = ["completed", "failed", "expired", "cancelled"];
const MAX_ID_CHARACTERS = 512;

/** The job of an answer; null for one that is no success, or says nothing of a job that can be followed. */
export function readJobState(outcome: UpstreamOutcome): JobState | null {
  if (outcome.kind !== "answer" || outcome.status < 200 || outcome.status > 299) return null;
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(outcome.body));
  } catch {
    return null;
  }
  const { id, status } = Object(body) as { id?: unknown; status?: unknown };
  if (typeof id !== "string" || typeof status !== "string") return null;
  // Dots alone would be another path than the job's.
  if (/^\.{0,2}$/.test(id) || id.length > MAX_ID_CHARACTERS || !id.isWellFormed()) return null;
  return { id, hasEnded: ENDED.includes(status) };
}

export function encodeStartedJob(job: StartedJob): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(job));
}

export function decodeStartedJob(payload: Uint8Array): StartedJob {
  return JSON.parse(new TextDecoder().decode(payload)) as StartedJob;
}
