// The log: JSON lines on stderr, or one readable line each when stderr is a terminal. Children
// carry `request_id` and `batch_id`. Keys and authorization headers never reach it.
import { type DestinationStream, type Logger, destination, pino, stdTimeFunctions } from "pino";
import { readableLine } from "./readable-line.ts";

export type Log = Logger;

const SECRET_MEMBERS = ["authorization", "api_key", "apiKey", "cookie"];

/**
 * Makes the root log.
 * @param level the least important level that is written: "trace" … "fatal", or "silent"
 * @param sink where the lines go; stderr when left out
 */
export function createLog(level: string, sink: DestinationStream = standardError()): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: "[redacted]",
      },
    },
    sink,
  );
}

function standardError(): DestinationStream {
  // Synchronous, so that the last words of a dying process are not lost.
  const stderr = destination({ fd: 2, sync: true });
  // A full disk under the log, or a reader that went away, must not end the server.
  stderr.on("error", () => {});
  return process.stderr.isTTY ? { write: (line) => stderr.write(readableLine(line)) } : stderr;
}
