// An OpenAI-compatible inference server without a model, for tests, benchmarks and demos: latency, a queue,
// failures and outages as told. It promises that every answer says it is simulated, and that it counts what
// was sent to it. It listens from start() to stop().
import type { IncomingMessage, ServerResponse } from "node:http";
import { answerControl } from "./control-routes.ts";
import { Exchange, type ExchangeHost } from "./exchange.ts";
import { isInferencePath } from "./inference-request.ts";
import { Listener } from "./listener.ts";
import {
  type Mode,
  type SimulatorOptions,
  type SimulatorSettings,
  simulatorSettings,
} from "./options.ts";
import { type PromptCount, PromptLedger } from "./prompt-ledger.ts";
import { Slots } from "./slots.ts";
import { Tally } from "./tally.ts";
import { VideoJobs } from "./video-jobs.ts";

/** requests = answered + unanswered + inFlight, since the start or the last reset. */
export interface SimulatorStats {
  /** POSTs to the inference endpoints, whatever became of them. */
  requests: number;
  /** Answers handed to the socket in full, whatever their status. */
  answered: number;
  /** Cut, crashed, or given up by the client. */
  unanswered: number;
  /** Received, and the answer not yet fully handed to the socket. */
  inFlight: number;
  waiting: number;
  running: number;
  peakInFlight: number;
  peakRunning: number;
  /** Answered requests by HTTP status. */
  byStatus: Record<string, number>;
  distinctPrompts: number;
  maxTimesSent: number;
  /** True once there were more distinct prompts than are counted (2,000,000). */
  promptsCapped: boolean;
  mode: Mode;
}

export class Simulator {
  readonly settings: SimulatorSettings;
  readonly #ledger = new PromptLedger();
  readonly #tally = new Tally();
  readonly #slots: Slots;
  readonly #videos: VideoJobs;
  readonly #listener: Listener;
  readonly #host: ExchangeHost;
  #mode: Mode = "ok";
  #isStarted = false;
  /** Ends a mode that was set for a time, or the downtime after a crash. */
  #recovery: NodeJS.Timeout | undefined;

  /** Throws a RangeError for an option out of bounds. */
  constructor(options: SimulatorOptions = {}) {
    const settings = simulatorSettings(options);
    this.settings = settings;
    this.#slots = new Slots(settings.maxNumSeqs, settings.maxQueue);
    this.#videos = new VideoJobs(settings.timeToVideoMs);
    this.#listener = new Listener(settings.host, settings.port, (request, response) =>
      this.#route(request, response),
    );
    this.#host = {
      settings,
      slots: this.#slots,
      ledger: this.#ledger,
      tally: this.#tally,
      videos: this.#videos,
      mode: () => this.#mode,
      crash: () => this.#crash(),
    };
  }

  /** Resolves when requests are accepted; throws what the system says about the address (EADDRINUSE, …). */
  async start(): Promise<{ baseUrl: string; origin: string }> {
    this.#isStarted = true;
    await this.#listener.open();
    return { baseUrl: this.baseUrl, origin: this.origin };
  }

  /** Drops every connection and frees the port. Counts stay readable; start() opens the same port again. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    clearTimeout(this.#recovery);
    await this.#listener.shut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Where /simulator and /health are, such as `http://127.0.0.1:8000`; the port is known after start(). */
  get origin(): string {
    const { host } = this.settings;
    return `http://${host.includes(":") ? `[${host}]` : host}:${this.#listener.port}`;
  }

  /** What an OpenAI client takes as its base URL. */
  get baseUrl(): string {
    return `${this.origin}/v1`;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /**
   * Changes what the server does from the next request on; resolves when it is in force. "refuse" shuts the
   * port and drops every connection. After `forMs`, when given, the mode is "ok" again. Ends a crash's downtime.
   */
  async setMode(mode: Mode, forMs?: number): Promise<void> {
    clearTimeout(this.#recovery);
    this.#mode = mode;
    if (forMs !== undefined) {
      this.#recovery = setTimeout(() => void this.setMode("ok"), forMs);
    }
    if (!this.#isStarted) return;
    if (mode === "refuse") await this.#listener.shut();
    else await this.#listener.open();
  }

  stats(): SimulatorStats {
    const { requests, answered, unanswered, inFlight, peakInFlight } = this.#tally;
    return {
      requests,
      answered,
      unanswered,
      inFlight,
      waiting: this.#slots.waiting,
      running: this.#slots.running,
      peakInFlight,
      peakRunning: this.#slots.peakRunning,
      byStatus: this.#tally.byStatus(),
      distinctPrompts: this.#ledger.distinctPrompts,
      maxTimesSent: this.#ledger.maxTimesSent,
      promptsCapped: this.#ledger.capped,
      mode: this.#mode,
    };
  }

  /** Every prompt sent, in the order in which they first came. */
  prompts(): IterableIterator<Readonly<PromptCount>> {
    return this.#ledger.prompts();
  }

  /** How often exactly this prompt (all text of the request) was sent. */
  timesSent(prompt: string): number {
    return this.#ledger.timesSent(prompt);
  }

  /** The Video object of a job as it stands now; undefined for an unknown id. */
  video(id: string): object | undefined {
    return this.#videos.find(id);
  }

  /** Forgets all counts and prompts, no video jobs; requests in flight stay counted as received. */
  reset(): void {
    this.#tally.reset();
    this.#ledger.reset();
    this.#slots.resetPeak();
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "/";
    const query = url.indexOf("?");
    const path = query === -1 ? url : url.slice(0, query);
    if (request.method === "POST" && isInferencePath(path)) {
      new Exchange(this.#host, path, request, response).begin();
    } else {
      answerControl(this, path, request, response);
    }
  }

  /** Comes back by itself; a port that cannot be had again ends the process, as an unhandled rejection. */
  #crash(): void {
    void this.#listener.shut();
    clearTimeout(this.#recovery);
    this.#recovery = setTimeout(() => void this.setMode("ok"), this.settings.crashDowntimeMs);
  }
}
