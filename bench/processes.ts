// Child processes of a measurement: each is ended by whoever started it.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

const repository = path.resolve(import.meta.dirname, "..");

export interface Running extends AsyncDisposable {
  /** The first line it printed. */
  firstLine: string;
  /** The most memory it has had, in MB. */
  peakMb(): number;
}

function spawnNode(script: string, args: readonly string[]): ChildProcess {
  return spawn(
    process.execPath,
    [
      "--max-semi-space-size=8",
      "--max-old-space-size=1024",
      path.join(repository, script),
      ...args,
    ],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
}

async function firstLineOf(child: ChildProcess, script: string): Promise<string> {
  if (!child.stdout) throw new Error(`${script} has no output`);
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`${script} ended without printing anything (exit code ${child.exitCode})`);
}

/** Starts a server and waits for its first line. */
export async function startNode(script: string, args: readonly string[]): Promise<Running> {
  const child = spawnNode(script, args);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  return {
    firstLine: await firstLineOf(child, script),
    peakMb: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1000;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Runs a script to its end; answers the number it prints first. */
export async function measureNode(script: string, args: readonly string[]): Promise<number> {
  const child = spawnNode(script, args);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const figure = Number(await firstLineOf(child, script));
  await ended;
  if (!Number.isFinite(figure)) throw new Error(`${script} did not print a number`);
  return figure;
}
