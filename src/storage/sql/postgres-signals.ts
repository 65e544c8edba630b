// Takes signals between nodes by LISTEN and NOTIFY, on a connection of its own. What gets lost while it is not
// connected is no loss, for every node also polls; so nothing here is ever waited for, and nothing fails.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { backoffMs } from "../../core/retry.ts";
import { type Relay, type SignalName, type Signals, workSignals } from "../../core/signals.ts";

const CHANNEL = "offpeak";
/** Where all nodes do the same work anyway, a signal would only have them collide. */
const kept: readonly SignalName[] = ["bytes-unneeded"];
const CONNECT_LIMIT_MS = 5_000;
const RECONNECT = { baseMs: 200, maxMs: 10_000 };
/** How often it is asked whether the server is still there: a cut network says nothing by itself. */
const CHECK_EVERY_MS = 15_000;

export class PostgresSignals {
  readonly #url: string;
  readonly #signals: Signals;
  readonly #sender = randomUUID();
  readonly #relay: Relay = (name) => this.#send(name);
  readonly #unsent = new Set<SignalName>();
  /** What the client was asked last. */
  #asked: Promise<unknown> = Promise.resolve();
  readonly #disconnect: () => void;
  #client: pg.Client | null = null;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(url: string, signals: Signals) {
    this.#url = url;
    this.#signals = signals;
    this.#disconnect = signals.connect(this.#relay);
  }

  /** Resolves when the first attempt to connect has ended, either way. */
  async start(): Promise<void> {
    await this.#connect();
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      query_timeout: CONNECT_LIMIT_MS,
      keepAlive: true,
      fallback_application_name: "offpeak signals",
    });
    client.on("error", () => this.#lose(client));
    client.on("end", () => this.#lose(client));
    client.on("notification", ({ payload }) => this.#take(payload ?? ""));
    this.#client = client;
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch {
      this.#lose(client);
      return;
    }
    if (this.#client !== client) return;
    this.#failures = 0;
    this.#timer = setInterval(() => void this.#check(client), CHECK_EVERY_MS);
    // What others said meanwhile is not known.
    for (const name of [...workSignals, "batch-ended"] as const) {
      this.#signals.emit(name, this.#relay);
    }
  }

  async #check(client: pg.Client): Promise<void> {
    try {
      await this.#query("select 1");
    } catch {
      this.#lose(client);
    }
  }

  /** One after the other: a client takes one at a time. */
  async #query(text: string, values: unknown[] = []): Promise<void> {
    const before = this.#asked;
    const asked = (async () => {
      await before.catch(() => undefined);
      await this.#client?.query(text, values);
    })();
    this.#asked = asked;
    await asked;
  }

  #lose(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#stopTimer();
    client.end().catch(() => undefined);
    if (this.#closed) return;
    const pauseMs = backoffMs(++this.#failures, RECONNECT, Math.random());
    this.#timer = setTimeout(() => void this.#connect(), pauseMs);
  }

  #take(payload: string): void {
    const [sender, name] = payload.split(" ");
    if (sender !== this.#sender) this.#signals.emit(name as SignalName, this.#relay);
  }

  /** Signals of the same turn of the event loop go together, each once. */
  #send(name: SignalName): void {
    if (kept.includes(name)) return;
    if (this.#unsent.size === 0) setImmediate(() => void this.#flush());
    this.#unsent.add(name);
  }

  async #flush(): Promise<void> {
    const names = [...this.#unsent];
    this.#unsent.clear();
    if (names.length === 0) return;
    const payloads = names.map((name) => `${this.#sender} ${name}`);
    try {
      await this.#query("select pg_notify($1, payload) from unnest($2::text[]) as payload", [
        CHANNEL,
        payloads,
      ]);
    } catch {
      // The others find out when they poll.
    }
  }

  #stopTimer(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Sends what was to be sent, and ends. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#disconnect();
    await this.#flush();
    await this.#asked.catch(() => undefined);
    this.#stopTimer();
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined);
  }
}
