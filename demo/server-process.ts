// An Offpeak server as a process of its own: started on one data directory and one port, killed and
// started again on the same. It promises that no process outlives stop(), and that none starts after it.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface ServerProcessOptions {
  /** An empty directory; the server keeps its data there. */
  dataDir: string;
  /** What the server logs is appended here. */
  logPath: string;
  /** Base URLs of the inference servers. */
  upstreams: readonly string[];
}

const COMMAND = fileURLToPath(new URL("../src/cli/offpeak.ts", import.meta.url));
const READY_TIMEOUT_MS = 20_000;
const READY_POLL_MS = 25;
const STOP_TIMEOUT_MS = 10_000;

export class ServerProcess {
  readonly #options: ServerProcessOptions;
  readonly #port: number;
  #child: ChildProcess | undefined;
  #isStopped = false;

  private constructor(options: ServerProcessOptions, port: number) {
    this.#options = options;
    this.#port = port;
  }

  /** Chooses a free port and starts nothing yet. */
  static async prepare(options: ServerProcessOptions): Promise<ServerProcess> {
    return new ServerProcess(options, await freePort());
  }

  /** Where it listens, such as `http://127.0.0.1:8024`; the same after a restart. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process and waits until it is ready. Throws when it ends first or takes longer than 20 s. */
  async start(): Promise<void> {
    if (this.#isStopped) throw new Error("The server was stopped for good.");
    const { dataDir, logPath, upstreams } = this.#options;
    const flags = upstreams.flatMap((url) => ["--upstream", url]);
    flags.push("--data-dir", dataDir, "--port", String(this.#port));
    const log = openSync(logPath, "a");
    const child = spawn(process.execPath, [COMMAND, "serve", ...flags], {
      // An offpeak.yaml or a variable that is meant for another server must not change this one.
      cwd: dataDir,
      env: Object.fromEntries(
        Object.entries(process.env).filter(([name]) => !name.startsWith("OFFPEAK_")),
      ),
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    await this.#untilReady(child);
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (hasEnded(child)) {
        throw new Error(`The server ended before it was ready (${howEnded(child)}).`);
      }
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
      await delay(READY_POLL_MS);
    }
    throw new Error(`The server was not ready within ${READY_TIMEOUT_MS / 1000} s.`);
  }

  /** Ends the process without a warning, as a power cut would, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#child !== undefined) await end(this.#child, "SIGKILL");
  }

  /** Lets the process end in good order, or ends it after 10 s. It can't be started again. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#child === undefined) return;
    const child = this.#child;
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await end(child, "SIGTERM");
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The last lines of the log, of all its processes. */
  logTail(lines: number): string {
    return readFileSync(this.#options.logPath, "utf8")
      .trimEnd()
      .split("\n")
      .slice(-lines)
      .join("\n");
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function howEnded({ exitCode, signalCode }: ChildProcess): string {
  return signalCode === null ? `exit code ${exitCode}` : `by ${signalCode}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
