// A setting: one value that a flag, a variable or the file may give. Its path in the file is its
// name; the flag and the variable are spelled from it: ["limits", "lines_per_batch"] is also
// --limits-lines-per-batch and OFFPEAK_LIMITS_LINES_PER_BATCH.
import { refuse } from "./config-error.ts";

/** How the values of a setting are written. `read` answers undefined when it is not such a value. */
export interface Kind<T> {
  /** Completes "expected …". */
  expected: string;
  /** Name of the flag's value in the help; left out when the flag takes none. */
  argument?: string;
  /** Reads a flag or a variable. */
  fromText(text: string): T | undefined;
  /** Reads a value of the file. */
  fromYaml(value: unknown): T | undefined;
}

export interface Setting<T> {
  path: readonly string[];
  description: string;
  kind: Kind<T>;
  fallback: T;
}

export function setting<T>(
  path: readonly string[],
  kind: Kind<T>,
  fallback: T,
  description: string,
): Setting<T> {
  return { path, description, kind, fallback };
}

export function flagName(path: readonly string[]): string {
  return `--${path.join("-").replaceAll("_", "-")}`;
}

export function variableName(path: readonly string[]): string {
  return `OFFPEAK_${path.join("_").toUpperCase()}`;
}

/** Text that is not empty. */
export const text: Kind<string> = {
  expected: "text",
  argument: "text",
  fromText: (value) => (value === "" ? undefined : value),
  fromYaml: (value) => (typeof value === "string" && value !== "" ? value : undefined),
};

export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  const within = (value: number) => Number.isSafeInteger(value) && value >= min && value <= max;
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return {
    expected: `a whole number ${range}`,
    argument: "number",
    fromText: (value) => (/^\d+$/.test(value) && within(Number(value)) ? Number(value) : undefined),
    fromYaml: (value) => (typeof value === "number" && within(value) ? value : undefined),
  };
}

export function oneOf<const T extends string>(...values: T[]): Kind<T> {
  const find = (value: unknown) => values.find((candidate) => candidate === value);
  return {
    expected: `one of ${values.join(", ")}`,
    argument: values.join("|"),
    fromText: find,
    fromYaml: find,
  };
}

const yesWords = ["true", "1", "yes"];
const noWords = ["false", "0", "no"];

export const yesOrNo: Kind<boolean> = {
  expected: "true or false",
  fromText: (value) =>
    yesWords.includes(value) ? true : noWords.includes(value) ? false : undefined,
  fromYaml: (value) => (typeof value === "boolean" ? value : undefined),
};

/** Where a setting's value may come from. `yamlValue` finds a value of the file by its path. */
export interface SettingSources {
  /** By long name, such as "--port"; true for a flag that takes no value. */
  flags: Readonly<Record<string, string | true | string[] | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  yamlPlace: (path: readonly string[]) => string;
  yamlValue: (path: readonly string[]) => unknown;
}

/** The value of a setting from its strongest source, or its fallback. Throws ConfigError. */
export function readSetting<T>(
  { path, kind, fallback }: Setting<T>,
  { flags, env, yamlPlace, yamlValue }: SettingSources,
): T {
  const flag = flags[flagName(path)];
  if (flag !== undefined) {
    return kind.fromText(String(flag)) ?? refuse(flagName(path), kind.expected, flag);
  }
  const variable = env[variableName(path)];
  // An empty variable is how compose files and shells spell "not set".
  if (variable !== undefined && variable !== "") {
    return kind.fromText(variable) ?? refuse(variableName(path), kind.expected, variable);
  }
  const inFile = yamlValue(path);
  if (inFile === undefined) return fallback;
  return kind.fromYaml(inFile) ?? refuse(yamlPlace(path), kind.expected, inFile);
}
