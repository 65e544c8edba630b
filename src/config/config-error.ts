// What is wrong with a configuration: where it stands (flag, variable or path in the file), what was
// expected there, what came, and what to do.

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const SHOWN_CHARACTERS = 100;

/** Throws ConfigError: `place` should hold `expected`, and holds `value`. Never for secrets. */
export function refuse(place: string, expected: string, value: unknown, advice?: string): never {
  const came = value === undefined ? "nothing" : shown(value);
  const hint = advice === undefined ? "" : ` ${advice}`;
  throw new ConfigError(`${place}: expected ${expected}, got ${came}.${hint}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
