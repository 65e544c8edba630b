// The settings as flags of a command, and the other sources of the configuration.
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { ConfigError } from "../config/config-error.ts";
import type { ConfigSources } from "../config/config.ts";
import { type Setting, flagName } from "../config/setting.ts";
import { settings } from "../config/settings.ts";

/** The flag of a setting. */
export function optionOf({
  path,
  description,
  kind,
  fallback,
}: Setting<string | number | boolean>): Option {
  const flag = flagName(path);
  if (kind.argument === undefined) return new Option(flag, description);
  const shown = fallback === "" ? "" : ` (default: ${fallback})`;
  return new Option(`${flag} <${kind.argument}>`, `${description}${shown}`);
}

/** Where the data of nodes that share it is, and the file that may say so. */
export function addDataOptions(command: Command): Command {
  return command
    .addOption(optionOf(settings.dataDir))
    .addOption(databaseOption())
    .option("--config <file>", "configuration file (default: offpeak.yaml, where there is one)");
}

export function databaseOption(): Option {
  return new Option(
    "--database-url <url>",
    "PostgreSQL database that nodes share; better as OFFPEAK_DATABASE_URL, for others can see flags",
  );
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
