// One JSON line of the log in the shape a person at a terminal reads: time, level, message, rest.

interface LogLine {
  time: string;
  level: string;
  msg?: string;
  err?: { message?: string; stack?: string };
  [member: string]: unknown;
}

/** Turns a JSON line of the log into a readable one, newline included. */
export function readableLine(json: string): string {
  const { time, level, msg = "", err, ...rest } = JSON.parse(json) as LogLine;
  const members = Object.entries(rest).map(([name, value]) => `${name}=${readable(value)}`);
  const head = [time.slice(11, 23), level.toUpperCase().padEnd(5), msg, ...members].join(" ");
  const cause = err?.stack ?? err?.message;
  return cause === undefined ? `${head}\n` : `${head}\n  ${cause.replaceAll("\n", "\n  ")}\n`;
}

function readable(value: unknown): string {
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
