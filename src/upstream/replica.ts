// One base URL of an upstream: its connections, how many requests it has, and whether it lately
// refused. One undici Client per request in flight, since a pool costs more the more it connects.

import { Client, type Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import { backoffMs } from "../core/retry.ts";
import type { UpstreamRequest } from "../core/upstream.ts";
import { describeNetworkError } from "../network/network-error.ts";

/** A connection to a replica; has at most one request. */
export interface Connection {
  readonly client: Client;
  /** Whether it was used before, so that the backend may have closed it meanwhile. */
  hasServed: boolean;
}

const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_TIMEOUT_MS = 5_000;
const DISCOVERY_BODY_BYTES = 4 * 1024 * 1024;
const REFUSAL_PAUSE = { baseMs: 500, maxMs: 10_000 };

export class Replica {
  readonly baseUrl: string;
  readonly #origin: string;
  readonly #basePath: string;
  /** Names and values in turn. */
  readonly #headers: readonly string[];
  readonly #clock: Clock;
  /** All that were not given up. */
  readonly #connections = new Set<Connection>();
  readonly #idle: Connection[] = [];
  /** Connections that are being closed. */
  readonly #ending = new Set<Promise<void>>();
  /** Connections of questions about the backend itself. */
  readonly #asking = new Set<Client>();
  #livenessCheck: Promise<boolean> | null = null;
  #refusals = 0;
  #avoidUntilMs = 0;

  constructor(baseUrl: string, headers: readonly string[], clock: Clock) {
    const url = new URL(baseUrl);
    this.baseUrl = baseUrl;
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.#headers = headers;
    this.#clock = clock;
  }

  get inFlight(): number {
    return this.#connections.size - this.#idle.length;
  }

  /** True while other replicas should be tried first, because this one could not be reached. */
  get avoided(): boolean {
    return this.#clock.monotonicMs() < this.#avoidUntilMs;
  }

  /** True from the moment it could not be reached until it answers again. */
  get isDoubtful(): boolean {
    return this.#refusals > 0;
  }

  /**
   * Takes a connection; give it back with `release`.
   * @param fresh one that has served no request yet
   */
  acquire(fresh: boolean): Connection {
    return (fresh ? undefined : this.#idle.pop()) ?? this.#connect();
  }

  #connect(): Connection {
    const client = new Client(this.#origin, {
      pipelining: 1,
      // Undici's own timers are coarse; the upstream keeps the request timeout.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
    const connection = { client, hasServed: false };
    this.#connections.add(connection);
    return connection;
  }

  /** @param reusable false when its connection was lost or ended by us */
  release(connection: Connection, reusable: boolean): void {
    if (!reusable) {
      this.#connections.delete(connection);
      const ended = connection.client.destroy().finally(() => this.#ending.delete(ended));
      this.#ending.add(ended);
      return;
    }
    connection.hasServed = true;
    this.#idle.push(connection);
  }

  /** Options of a request whose path begins with `/v1/`. */
  request({
    method,
    path,
    contentType,
    body,
    requestId,
  }: UpstreamRequest): Dispatcher.DispatchOptions {
    const headers = [...this.#headers, "x-request-id", requestId];
    if (method === "POST") headers.push("content-type", contentType);
    return {
      method,
      // Base URLs end in the version that clients write in front of the path.
      path: this.#basePath + path.slice("/v1".length),
      headers,
      body: method === "POST" ? body : null,
    };
  }

  reached(): void {
    this.#refusals = 0;
    this.#avoidUntilMs = 0;
  }

  notReached(): void {
    // Requests that were under way when it was first missed say nothing new.
    if (this.avoided) return;
    this.#refusals++;
    const pauseMs = backoffMs(this.#refusals, REFUSAL_PAUSE, Math.random());
    this.#avoidUntilMs = this.#clock.monotonicMs() + pauseMs;
  }

  /** Whether anything answers at all; who asks at the same time shares the answer. Never throws. */
  alive(): Promise<boolean> {
    this.#livenessCheck ??= this.#checkAlive().finally(() => (this.#livenessCheck = null));
    return this.#livenessCheck;
  }

  async #checkAlive(): Promise<boolean> {
    const isAlive = (await this.#get("/models", PROBE_TIMEOUT_MS)).status !== null;
    if (isAlive) this.reached();
    else this.notReached();
    return isAlive;
  }

  /** The ids that `GET /models` lists, or why there are none. Never throws. */
  async models(): Promise<{ ok: true; models: string[] } | { ok: false; detail: string }> {
    const answer = await this.#get("/models", CONNECT_TIMEOUT_MS);
    const where = `GET ${this.baseUrl}/models`;
    if (answer.status === null) return { ok: false, detail: `${where}: ${answer.detail}` };
    if (answer.status !== 200) return { ok: false, detail: `${where} answered ${answer.status}` };
    try {
      const list = JSON.parse(answer.text) as { data: { id: unknown }[] };
      const ids = list.data.map(({ id }) => id);
      const models = ids.filter((id): id is string => typeof id === "string" && id !== "");
      // No models at all is an answer; models without names are something else.
      if (models.length > 0 || ids.length === 0) return { ok: true, models };
    } catch {
      // Not a list of models either.
    }
    return { ok: false, detail: `${where} did not answer with a list of models` };
  }

  async #get(
    path: string,
    timeoutMs: number,
  ): Promise<{ status: number; text: string } | { status: null; detail: string }> {
    const client = new Client(this.#origin, { maxResponseSize: DISCOVERY_BODY_BYTES });
    this.#asking.add(client);
    try {
      const { statusCode, body } = await client.request({
        method: "GET",
        path: this.#basePath + path,
        headers: [...this.#headers],
        signal: AbortSignal.timeout(timeoutMs),
      });
      return { status: statusCode, text: await body.text() };
    } catch (error) {
      return { status: null, detail: describeNetworkError(error) };
    } finally {
      this.#asking.delete(client);
      await client.destroy();
    }
  }

  async close(): Promise<void> {
    const connections = [...this.#connections].map(({ client }) => client);
    const clients = [...connections, ...this.#asking];
    await Promise.all([...clients.map((client) => client.destroy()), ...this.#ending]);
    this.#idle.length = 0;
  }
}
