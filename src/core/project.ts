// Projects: to whom files, uploads and batches belong, and how much each may have. A project exists
// by being named on a key.

/** The project of every request while the server has no API keys. */
export const DEFAULT_PROJECT = "default";

/** Null: no limit. */
export interface ProjectLimits {
  /** Bytes of all its files and of the parts of its pending uploads. */
  storedBytes: number | null;
  /** Batches created within any hour. */
  batchesPerHour: number | null;
  /** Requests in all its batches that have not ended. */
  queuedLines: number | null;
  /** Estimated prompt tokens in all its batches that have not ended. */
  queuedPromptTokens: number | null;
  /** What `completion_window` may be, such as "24h". */
  completionWindows: readonly string[];
}

export const defaultProjectLimits: ProjectLimits = {
  storedBytes: null,
  batchesPerHour: null,
  queuedLines: null,
  queuedPromptTokens: null,
  completionWindows: ["24h"],
};

const PROJECT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Letters, digits and . _ - (at most 64, the first a letter or digit). */
export function isProjectName(name: string): boolean {
  return PROJECT_NAME.test(name);
}

const unitSeconds = { m: 60, h: 3_600, d: 86_400 };
const LONGEST_WINDOW_SECONDS = 30 * 86_400;

/** Seconds of a completion window such as "30m", "24h" or "7d" (30 days at most); undefined when it is none. */
export function windowSeconds(window: string): number | undefined {
  const [, digits, unit] = /^([1-9]\d{0,4})([mhd])$/.exec(window) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const seconds = Number(digits) * unitSeconds[unit as keyof typeof unitSeconds];
  return seconds <= LONGEST_WINDOW_SECONDS ? seconds : undefined;
}
