// What a case of the conformance suite is: one sentence of docs/api-compatibility.md, proved by requests
// alone, so that any server which speaks the Batch API can be asked.
import type { Receiver } from "./receiver.ts";
import type { Target } from "./target.ts";

export interface Case {
  /** Id of the row of docs/api-compatibility.md that it proves. */
  row: string;
  /** What is so, as a sentence. */
  name: string;
  /** What the server must offer besides the API; without it the case is reported as not run. */
  needs?: readonly Need[];
  /** Throws when it is not so. */
  run(target: Target): Promise<void>;
}

/** What some cases need beyond one server with one key and one model. */
export interface Surroundings {
  /** The server is Offpeak: for what goes beyond OpenAI, and for choices where OpenAI's is not known. */
  offpeak: true;
  /** The model is the simulator's: `[simulate: …]` in a prompt fails or hangs, and all endpoints are served. */
  simulator: true;
  /** The key of another project, which has nothing in it. */
  "other-project": Target;
  /** A project that allows the window "1m". */
  "short-window": Target;
  /** A server that reaches no upstream, so that its batches stay `validating`. */
  "unreachable-upstream": Target;
  /** A server with the settings of `otherSettings`. */
  "other-settings": Target;
  /** A project with the limits of `smallProject`. */
  "small-project": Target;
  /** A project that may create `BATCHES_PER_HOUR` batches in an hour. */
  "rate-limit": Target;
  /** A server without any keys. */
  "open-server": Target;
  /** The same server with an admin key. */
  "admin-key": Target;
  /** Gets the webhooks of the project. */
  "webhook-receiver": Receiver;
}

export type Need = keyof Surroundings;

export const needs: readonly Need[] = [
  "offpeak",
  "simulator",
  "other-project",
  "short-window",
  "unreachable-upstream",
  "other-settings",
  "small-project",
  "rate-limit",
  "open-server",
  "admin-key",
  "webhook-receiver",
];

/** Small limits and more freedom, as the configuration spells them; the upstream's endpoints apart. */
export const otherSettings = {
  limits: {
    lines_per_batch: 3,
    batch_file_size_bytes: 4_000,
    file_size_bytes: 5_000,
    upload_size_bytes: 6_000,
    part_size_bytes: 2_000,
    line_size_bytes: 1_500,
    embedding_inputs_per_batch: 4,
  },
  request_timeout_ms: 300,
  max_attempts: 1,
  allow_several_models: true,
};
/** What the upstream of `other-settings` serves. */
export const otherEndpoints = ["/v1/chat/completions", "/v1/embeddings", "/v1/rerank"];
/** A name for the model of `other-settings`. */
export const ALIAS = "another-name";

/** As the configuration spells them. */
export const smallProject = {
  stored_bytes: 50_000,
  queued_lines: 20,
  queued_prompt_tokens: 500,
};
export const BATCHES_PER_HOUR = 3;

/** The cases that can be run with what there is, and those that can't. */
export function sortedByNeeds(
  cases: readonly Case[],
  offered: Partial<Surroundings>,
): { runnable: Case[]; notRunHere: Case[] } {
  const runnable: Case[] = [];
  const notRunHere: Case[] = [];
  for (const one of cases) {
    const isMet = (one.needs ?? []).every((need) => offered[need] !== undefined);
    (isMet ? runnable : notRunHere).push(one);
  }
  return { runnable, notRunHere };
}
