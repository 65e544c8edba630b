// A value that must not be printed: a key. Every way of turning it into text gives "[redacted]"; only
// `reveal` gives the value.
import { inspect } from "node:util";
import { ConfigError } from "./config-error.ts";

const REDACTED = "[redacted]";

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

/** A secret of the file, in which \${NAME} stands for a variable. Throws ConfigError, never with the value. */
export function readSecret(
  place: string,
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
): Secret {
  if (typeof value !== "string" || value === "") {
    throw new ConfigError(`${place}: expected text such as \${MY_KEY}, got something else.`);
  }
  const text = value.replaceAll(/\$\{([^}]*)\}/g, (_, variable: string) => {
    return env[variable] || missing(place, variable);
  });
  return new Secret(text);
}

function missing(place: string, variable: string): never {
  const member = place.split(/[.: ]+/).at(-1);
  throw new ConfigError(
    `${place}: the environment variable ${variable} that it names is not set. ` +
      `Set it, or leave ${member} out if none is needed.`,
  );
}
