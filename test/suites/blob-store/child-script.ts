// Runs a script of a suite in a process of its own, to be killed in the middle of its work.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export interface ChildScript {
  pid: number;
  /** The next line it prints. Throws when it ends before that. */
  nextLine(): Promise<string>;
  /** SIGKILL; resolves when the process is gone. Harmless when it has ended. */
  kill(): Promise<void>;
}

/** Starts `script` with `args`; it is killed when the test ends. `fileSizeBlocks` bounds its files, in 512 bytes. */
export function startScript(
  script: URL,
  args: string[],
  options: { fileSizeBlocks?: number } = {},
): ChildScript {
  const command = [process.execPath, fileURLToPath(script), ...args];
  const limit = options.fileSizeBlocks;
  const child =
    limit === undefined
      ? spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "inherit"] })
      : spawn("sh", ["-c", `ulimit -f ${limit}; exec "$@"`, "sh", ...command], {
          stdio: ["ignore", "pipe", "inherit"],
        });
  const ended = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const running: ChildScript = {
    pid: child.pid!,
    async nextLine() {
      const { value, done } = await lines.next();
      if (done === true)
        throw new Error(`${script.href} ended before it printed what was expected.`);
      return value;
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
  onTestFinished(() => running.kill());
  return running;
}
