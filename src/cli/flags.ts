// The settings as flags of a command, and the other sources of the configuration.
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { ConfigError } from "../config/config-error.ts";
import type { ConfigSources } from "../config/config.ts";
import { type Setting, flagName } from "../config/setting.ts";

/** The flag of a setting. */
export function optionOf({
  path,
  description,
  kind,
  fallback,
}: Setting<string | number | boolean>): Option {
  const flag = flagName(path);
  if (kind.argument === undefined) return new Option(flag, description);
  return new Option(`${flag} <${kind.argument}>`, `${description} (default: ${fallback})`);
}

/** The flags given to the command, by long name. */
export function flagsOf(command: Command): ConfigSources["flags"] {
  const flags: Record<string, string | true | string[] | undefined> = {};
  for (const option of command.options) {
    const name = option.attributeName();
    flags[option.long ?? name] = command.getOptionValue(name) as
      | string
      | true
      | string[]
      | undefined;
  }
  return flags;
}

/** Undefined when there is no such file. Throws ConfigError when it can't be read. */
export function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new ConfigError(`${path}: can't be read: ${message}.`);
  }
}
