// What becomes of a request on purpose: a directive in its prompt, or a share of all requests. The choice
// depends only on the seed, the prompt and how often it was sent, not on the order of arrival, so a run with
// many requests at once can be repeated exactly.
import type { SimulatorSettings } from "./options.ts";
import { type Refusal, refusal } from "./refusal.ts";

/** A number is the status of a refusal; "ok" is a proper answer, "failed" one about a job that will fail. */
export type Outcome = "ok" | "failed" | "hang" | "cut" | "garbage" | "drip" | "crash" | number;

const DIRECTIVE =
  /\[simulate:\s*(?:([45]\d\d)|(failed|hang|cut|garbage|drip|crash))(?:\s+x(\d{1,9}))?\s*\]/;

/**
 * The outcome for a prompt that was sent `times` times, this one included.
 * `[simulate: 500 x2]` in the prompt fails its first two sendings. A directive nobody knows is a 400.
 */
export function outcomeOf(
  settings: SimulatorSettings,
  prompt: string,
  key: string,
  times: number,
): Outcome | Refusal {
  if (prompt.includes("[simulate:")) {
    const directive = DIRECTIVE.exec(prompt);
    if (directive === null) return unknownDirective(prompt);
    const [, status, manner, upTo] = directive;
    if (upTo !== undefined && times > Number(upTo)) return "ok";
    return status === undefined ? (manner as Outcome) : Number(status);
  }
  if (settings.failureRate === 0) return "ok";
  const drawn = draw(settings.seed, key, times);
  if (drawn >= settings.failureRate) return "ok";
  const kinds = settings.failureKinds;
  const kind = kinds[Math.floor((drawn / settings.failureRate) * kinds.length)] ?? "500";
  return kind === "429" || kind === "500" || kind === "503" ? Number(kind) : kind;
}

function unknownDirective(prompt: string): Refusal {
  const start = prompt.indexOf("[simulate:");
  const given = prompt.slice(start, start + 40).toWellFormed();
  return refusal(
    400,
    "Expected a directive such as [simulate: 500], [simulate: 429 x2] or [simulate: hang] " +
      "(a status from 400 to 599, hang, cut, garbage, drip, crash, or for the job of a video failed), " +
      `got ${JSON.stringify(given)}.`,
    "unknown_directive",
  );
}

/** A number from 0 to 1 (exclusive), evenly spread over seeds, keys and times. */
function draw(seed: number, key: string, times: number): number {
  let state = seed ^ Math.imul(times, 0x9e3779b1);
  for (let index = 0; index < key.length; index++) {
    state = Math.imul(state ^ key.charCodeAt(index), 0x01000193);
  }
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return ((state ^ (state >>> 16)) >>> 0) / 2 ** 32;
}
