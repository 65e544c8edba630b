// Child processes of a measurement, and what Linux says about them. Who starts one ends it, by
// disposing of it; `endAll` ends what an interrupted run left. MB are 10^6 bytes.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

export interface Running extends AsyncDisposable {
  child: ChildProcess;
  pid: number;
  /** The first line it printed. */
  firstLine: string;
}

interface SpawnOptions {
  /** Whether it takes messages. */
  ipc?: boolean;
  /** A file descriptor for what it logs. */
  stderr?: number;
}

const children = new Set<ChildProcess>();
const TICK_MS = 10;
const KIB = 1024;
const MB = 1_000_000;

/** Where taskset exists a process can be kept on one core. */
export const hasTaskset = spawnSync("taskset", ["--version"]).status === 0;

/** The command that runs a script of this folder under this Node. */
export function nodeCommand(
  script: string,
  args: readonly string[],
  flags: readonly string[] = [],
) {
  return [process.execPath, ...flags, path.join(import.meta.dirname, script), ...args];
}

/** The same command, kept on the last core. */
export function pinned(command: readonly string[]): string[] {
  return hasTaskset ? ["taskset", "-c", String(os.cpus().length - 1), ...command] : [...command];
}

function spawnChild([file = "", ...args]: readonly string[], options: SpawnOptions): ChildProcess {
  const { ipc = false, stderr = "inherit" } = options;
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", stderr, ...(ipc ? ["ipc" as const] : [])],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** Starts a server and waits for its first line. */
export async function startProcess(
  command: readonly string[],
  options: SpawnOptions = {},
): Promise<Running> {
  const child = spawnChild(command, options);
  const ended = once(child, "exit");
  const [line] = await Promise.race([firstLineOf(child), ended.then(() => [])]);
  if (line === undefined || child.pid === undefined) {
    throw new Error(
      `expected ${command.join(" ")} to print a line, but it ended (exit code ${child.exitCode})`,
    );
  }
  return {
    child,
    pid: child.pid,
    firstLine: line,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function firstLineOf({ stdout }: ChildProcess): Promise<string[]> {
  if (stdout) for await (const line of createInterface({ input: stdout })) return [line];
  return [];
}

/** Runs a command to its end; answers what it printed. */
export async function outputOf(command: readonly string[]): Promise<string> {
  const child = spawnChild(command, {});
  const ended = once(child, "exit");
  const output = child.stdout ? await text(child.stdout) : "";
  await ended;
  if (child.exitCode === 0) return output;
  throw new Error(`${command.join(" ")} ended with exit code ${child.exitCode}`);
}

/** Ends every process that still runs. */
export function endAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

/** What /proc says; undefined where there is none. */
function procFile(pid: number, name: string): string | undefined {
  return process.platform === "linux" ? readFileSync(`/proc/${pid}/${name}`, "utf8") : undefined;
}

/** Processor time it has taken, in all threads, to 10 ms; NaN where there is no /proc. */
export function processorMs(pid: number): number {
  const stat = procFile(pid, "stat");
  // The name of the program, which may hold anything, ends with the last parenthesis.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Memory it has now (`VmRSS`) or had at most (`VmHWM`); NaN where there is no /proc. */
export function memoryMb(pid: number, which: "VmRSS" | "VmHWM"): number {
  const kib = new RegExp(`${which}:\\s+(\\d+) kB`).exec(procFile(pid, "status") ?? "")?.[1];
  return (Number(kib) * KIB) / MB;
}
