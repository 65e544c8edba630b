// What a simulator can be told, with the defaults and the bounds of every number in one place. The command
// line checks its flags with the same rules. A value out of bounds is a RangeError that says what was expected.

/** Ways in which a random share of the requests fails: answered with a status, or not answered properly. */
export const FAILURE_KINDS = ["429", "500", "503", "hang", "cut", "garbage", "drip"] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** What the whole server does: work, refuse connections, answer everything with one status, or never answer. */
export const MODES = ["ok", "refuse", "503", "401", "429", "500", "hang"] as const;
export type Mode = (typeof MODES)[number];

export interface SimulatorSettings {
  /** Address to listen on. */
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** Names served; any other model is a 404. The first is used where a request may leave the model out. */
  models: readonly string[];
  timeToFirstTokenMs: number;
  interTokenLatencyMs: number;
  /** Tokens generated for a request that sets no lower limit itself. */
  outputTokens: number;
  /** Size of each image made, before base64. */
  imageBytes: number;
  /** From the creation of a video job to its end; 0 ends it before it is first asked for. */
  timeToVideoMs: number;
  /** Requests that run at once; the others wait in the order of their arrival. */
  maxNumSeqs: number;
  /** Requests that may wait; one more is answered with 429. */
  maxQueue: number;
  /** Share of the requests that fail, 0 to 1. */
  failureRate: number;
  failureKinds: readonly FailureKind[];
  /** Chooses which requests fail: the same seed, prompt and attempt always end the same way. */
  seed: number;
  /** The Retry-After of a 429, in seconds. */
  retryAfterSeconds: number;
  /** How long connections are refused after `[simulate: crash]`. */
  crashDowntimeMs: number;
  /** Pause between two pieces of an answer that drips. */
  dripIntervalMs: number;
  /** When set, requests under /v1 without this bearer token are answered with 401. */
  apiKey: string | undefined;
}

export type SimulatorOptions = Partial<SimulatorSettings>;

const DEFAULTS: SimulatorSettings = {
  host: "127.0.0.1",
  port: 0,
  models: ["simulated-model"],
  timeToFirstTokenMs: 0,
  interTokenLatencyMs: 0,
  outputTokens: 16,
  imageBytes: 1_000,
  timeToVideoMs: 0,
  maxNumSeqs: Number.POSITIVE_INFINITY,
  maxQueue: 10_000,
  failureRate: 0,
  failureKinds: ["429", "500", "503"],
  seed: 0,
  retryAfterSeconds: 1,
  crashDowntimeMs: 500,
  dripIntervalMs: 10,
  apiKey: undefined,
};

const NUMBER_RULES = {
  port: { whole: true, min: 0, max: 65_535 },
  timeToFirstTokenMs: { whole: false, min: 0, max: 3_600_000 },
  interTokenLatencyMs: { whole: false, min: 0, max: 60_000 },
  outputTokens: { whole: true, min: 1, max: 100_000 },
  imageBytes: { whole: true, min: 100, max: 16_777_216 },
  timeToVideoMs: { whole: false, min: 0, max: 86_400_000 },
  maxNumSeqs: { whole: true, min: 1, max: Number.POSITIVE_INFINITY },
  maxQueue: { whole: true, min: 0, max: 1_000_000 },
  failureRate: { whole: false, min: 0, max: 1 },
  seed: { whole: true, min: 0, max: 4_294_967_295 },
  retryAfterSeconds: { whole: true, min: 0, max: 3_600 },
  crashDowntimeMs: { whole: false, min: 0, max: 3_600_000 },
  dripIntervalMs: { whole: false, min: 1, max: 60_000 },
} as const;

export type NumberOption = keyof typeof NUMBER_RULES;

/** Fills in the defaults and checks every value; throws a RangeError that names the option. */
export function simulatorSettings(options: SimulatorOptions = {}): SimulatorSettings {
  const settings = { ...DEFAULTS, ...options };
  for (const name of Object.keys(NUMBER_RULES) as NumberOption[]) {
    named(name, () => checkedNumber(name, settings[name]));
  }
  if (settings.models.length === 0 || settings.models.includes("")) {
    throw new RangeError(
      `models: expected at least one name, none of them empty, got ${JSON.stringify(settings.models)}`,
    );
  }
  // An empty host would make Node listen on every interface.
  if (settings.host === "") throw new RangeError("host: expected an address, got an empty one");
  named("failureKinds", () => checkedFailureKinds(settings.failureKinds));
  return settings;
}

/** A number, or the text of one, within the bounds of `name`; otherwise a RangeError. */
export function checkedNumber(name: NumberOption, value: unknown): number {
  const { whole, min, max } = NUMBER_RULES[name];
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  const fits =
    typeof number === "number" &&
    number >= min &&
    number <= max &&
    (!whole || Number.isInteger(number) || number === max);
  if (fits) return number;
  const kind = whole ? "a whole number" : "a number";
  const bounds = Number.isFinite(max) ? `from ${min} to ${max}` : `of at least ${min}`;
  throw new RangeError(`expected ${kind} ${bounds}, got ${spelled(value)}`);
}

/** The kinds as given, at least one, each of them known; otherwise a RangeError. */
export function checkedFailureKinds(kinds: readonly string[]): FailureKind[] {
  const unknown = kinds.find((kind) => !(FAILURE_KINDS as readonly string[]).includes(kind));
  if (kinds.length > 0 && unknown === undefined) return kinds as FailureKind[];
  throw new RangeError(
    `expected one or more of ${FAILURE_KINDS.join(", ")}, got ${unknown === undefined ? "none" : spelled(unknown)}`,
  );
}

function named(name: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw new RangeError(`${name}: ${(error as RangeError).message}`);
  }
}

function spelled(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
