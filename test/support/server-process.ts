// An Offpeak server as a child process, as people start it: `offpeak serve`. It can be killed, told
// to stop, and started again on the same data directory; its log is kept for the test to read.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { expect, onTestFailed } from "vitest";
import { until } from "./until.ts";

const OFFPEAK = fileURLToPath(new URL("../../src/cli/offpeak.ts", import.meta.url));

/** The flags with which the published command runs Node.js: its memory depends on them. */
function nodeFlags(): string[] {
  const command = readFileSync(new URL("../../bin/offpeak.js", import.meta.url), "utf8");
  const flags = /^#!.* node(.*)$/m.exec(command)?.[1];
  if (flags === undefined) throw new Error("bin/offpeak.js does not begin with #!… node");
  return flags.split(" ").filter((flag) => flag !== "");
}

export interface ServerOptions {
  /** Where the configuration file and, below it, the data directory are. */
  folder: string;
  /** Members of the configuration file. */
  config: Record<string, unknown>;
  /** More flags for `offpeak serve`. */
  flags?: readonly string[];
  /** The script that is the command. Default: the one of the sources. */
  script?: string;
  /** A command through which it is run, such as one that puts it on another network. */
  through?: readonly string[];
  /** Variables besides those of this process. */
  env?: Readonly<Record<string, string>>;
}

/** One line of the server's log. */
export interface LogLine {
  level: string;
  time: string;
  msg: string;
  [member: string]: unknown;
}

export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** What it wrote to stderr that is not the log. */
  complaint: string;
}

/** Variables of this process that would reconfigure a server stay away from it. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith("OFFPEAK_"));
  return Object.fromEntries(entries);
}

/** An upstream for the configuration file. */
export function upstream(baseUrls: string | string[], more: Record<string, unknown> = {}) {
  return { name: "simulator", base_url: baseUrls, ...more };
}

const SHOWN_LOG_LINES = 30;
/** The server started last in each test. */
const latest = new Map<string, ServerProcess>();

/** When the test fails, the end of the log of the server it started last is printed. */
function showLogOnFailure(server: ServerProcess): void {
  const { currentTestName: test } = expect.getState();
  if (test === undefined) return;
  if (!latest.has(test)) {
    onTestFailed(() => {
      const lines = latest.get(test)?.log.slice(-SHOWN_LOG_LINES) ?? [];
      console.info(`The log ends:\n${lines.map((line) => JSON.stringify(line)).join("\n")}`);
    });
  }
  latest.set(test, server);
}

export class ServerProcess implements AsyncDisposable {
  readonly log: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<ServerExit>;
  #hasExited = false;
  #stdout = "";
  #complaint = "";
  #openai: OpenAI | undefined;

  private constructor(options: ServerOptions) {
    const { folder, config, flags = [], script = OFFPEAK, through = [], env = {} } = options;
    const configPath = join(folder, "server.yaml");
    // JSON is YAML.
    writeFileSync(configPath, JSON.stringify({ port: 0, ...config }));
    const dataDir = ServerProcess.dataDir(folder);
    const command = [script, "serve", "--config", configPath, "--data-dir", dataDir, ...flags];
    const [program, ...args] = [...through, process.execPath, ...nodeFlags(), ...command];
    this.#child = spawn(program as string, args, {
      cwd: folder,
      env: { ...cleanEnvironment(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.#stdout += text));
    const stderr = this.#child.stderr!;
    // Not by readline: it also ends lines inside of texts, at U+2028 and U+2029.
    let line = "";
    stderr.setEncoding("utf8").on("data", (text: string) => {
      const [first = "", ...others] = text.split("\n");
      line += first;
      for (const next of others) {
        this.#take(line);
        line = next;
      }
    });
    stderr.on("close", () => this.#take(line));
    this.#exited = Promise.all([once(this.#child, "exit"), once(stderr, "close")]).then(
      ([[code, signal]]) => {
        this.#hasExited = true;
        return {
          code: code as number | null,
          signal: signal as NodeJS.Signals | null,
          complaint: this.#complaint,
        };
      },
    );
  }

  static dataDir(folder: string): string {
    return join(folder, "data");
  }

  /** Resolves when the server listens. Throws with its words when it gives up. */
  static async start(options: ServerOptions): Promise<ServerProcess> {
    const server = new ServerProcess(options);
    showLogOnFailure(server);
    await until("the server to listen", () => server.#hasExited || server.#listensOn);
    if (server.#listensOn === undefined) {
      throw new Error(`the server did not start: ${(await server.#exited).complaint}`);
    }
    return server;
  }

  /** Starts a server that is expected to refuse, and waits for that. */
  static async startInVain(options: ServerOptions): Promise<ServerExit> {
    await using server = new ServerProcess(options);
    await until("the server to give up", () => server.#hasExited);
    return await server.#exited;
  }

  get #listensOn(): string | undefined {
    return /Offpeak listens on (http:\/\/\S+)\. /.exec(this.#stdout)?.[1];
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Without `/v1`. */
  get url(): string {
    return this.#listensOn ?? "";
  }

  /** The official SDK, without retries, so that every failure is seen. */
  get openai(): OpenAI {
    this.#openai ??= new OpenAI({
      baseURL: `${this.url}/v1`,
      apiKey: "any",
      maxRetries: 0,
    });
    return this.#openai;
  }

  #take(line: string): void {
    if (line.startsWith('{"level"')) this.log.push(JSON.parse(line) as LogLine);
    else if (line !== "") this.#complaint += `${line}\n`;
  }

  logged(message: string): LogLine[] {
    return this.log.filter(({ msg }) => msg === message);
  }

  /** Ends it at once, as a power cut would. Resolves when it is gone. */
  async kill(): Promise<ServerExit> {
    this.#child.kill("SIGKILL");
    return this.#exited;
  }

  /** Asks it to stop, and waits until it has. */
  async terminate(
    signal: "SIGINT" | "SIGTERM" = "SIGTERM",
  ): Promise<ServerExit & { afterMs: number }> {
    const startedMs = performance.now();
    this.#child.kill(signal);
    const exit = await this.#exited;
    return { ...exit, afterMs: performance.now() - startedMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasExited) await this.kill();
  }

  /** The most memory it ever had resident. Linux only. */
  async peakResidentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** The samples of one metric: its labels as text, `{a="b"}`, and its value. */
  async metric(name: string): Promise<{ labels: string; value: number }[]> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const samples = text.matchAll(/^(\w+)(\{.*\})? (\S+)$/gm);
    return [...samples]
      .filter(([, sample]) => sample === name)
      .map(([, , labels = "", value]) => ({ labels, value: Number(value) }));
  }

  async readiness(): Promise<{
    ready: boolean;
    checks: { upstream: string; model: string | null; state: string; reason: string | null }[];
  }> {
    const answer = await fetch(`${this.url}/readyz`);
    return (await answer.json()) as Awaited<ReturnType<ServerProcess["readiness"]>>;
  }
}
