// Everything the demo needs around it: a directory, the real model's server, the simulator and Offpeak in a
// process of its own. However far opening it got, disposing of it leaves no process and no directory.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Simulator } from "../src/simulator/simulator.ts";
import { EmbeddingServer } from "./embedding-server.ts";
import { ServerProcess } from "./server-process.ts";

const CHAT_MODEL = "simulated-chat-model";
/** An answer of 8 to 32 tokens takes 0.6 to 1.8 seconds. */
const TIME_TO_FIRST_TOKEN_MS = 250;
const INTER_TOKEN_LATENCY_MS = 50;
const LOG_TAIL_LINES = 15;

export class Stage implements AsyncDisposable {
  readonly simulator = new Simulator({
    models: [CHAT_MODEL],
    timeToFirstTokenMs: TIME_TO_FIRST_TOKEN_MS,
    interTokenLatencyMs: INTER_TOKEN_LATENCY_MS,
  });
  /** For input files and the like; the server's own data is in `dataDir`, inside it. */
  readonly directory: string;
  readonly dataDir: string;
  readonly #owned = new AsyncDisposableStack();
  #server: ServerProcess | undefined;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "offpeak-demo-"));
    this.#owned.defer(() => rmSync(this.directory, { recursive: true, force: true }));
    this.dataDir = join(this.directory, "data");
    mkdirSync(this.dataDir);
  }

  /** Starts the real model's server. */
  async startEmbeddings(): Promise<EmbeddingServer> {
    return this.#owned.use(await EmbeddingServer.start());
  }

  async startSimulator(): Promise<Simulator> {
    this.#owned.use(this.simulator);
    await this.simulator.start();
    return this.simulator;
  }

  /** Starts Offpeak in front of the inference servers with these base URLs. */
  async startServer(upstreams: readonly string[]): Promise<ServerProcess> {
    const logPath = join(this.directory, "server.log");
    const server = await ServerProcess.prepare({ dataDir: this.dataDir, logPath, upstreams });
    this.#server = this.#owned.use(server);
    await server.start();
    return server;
  }

  /** The last lines that the server logged; empty when it was never started. */
  logTail(): string {
    return this.#server?.logTail(LOG_TAIL_LINES) ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
