// The configuration file: YAML, read into plain mappings, in which no key may be unknown.
import { YAMLParseError, parse } from "yaml";
import { ConfigError, refuse } from "./config-error.ts";

export type Mapping = Readonly<Record<string, unknown>>;

/** Parses the file's text; an empty file is an empty mapping. Throws ConfigError. */
export function parseYaml(fileName: string, text: string): Mapping {
  let parsed: unknown;
  try {
    parsed = parse(text, { logLevel: "error" });
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw new ConfigError(`${fileName}: not valid YAML: ${error.message.trim()}`);
  }
  return parsed === null ? {} : asMapping(fileName, parsed);
}

export function asMapping(place: string, value: unknown): Mapping {
  const isMapping = typeof value === "object" && value !== null && !Array.isArray(value);
  return isMapping ? (value as Mapping) : refuse(place, "a mapping of keys to values", value);
}

/** Throws ConfigError when `mapping` has a key that is not in `known`. */
export function refuseUnknownKeys(place: string, mapping: Mapping, known: readonly string[]): void {
  const unknown = Object.keys(mapping).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new ConfigError(
    `${place}: unknown key ${JSON.stringify(unknown)}. Known here: ${known.join(", ")}.`,
  );
}
