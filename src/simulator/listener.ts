// The listening socket, which can be shut and opened again on the same port. While it is shut, connections
// are refused by the operating system, as those of a server that is down.
import { once } from "node:events";
import { type RequestListener, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const BACKLOG = 4_096;
const REOPEN_ATTEMPTS = 200;
const REOPEN_PAUSE_MS = 50;
/** Long enough that the simulator never closes a connection a client is about to use. */
const KEEP_ALIVE_MS = 75_000;

export class Listener {
  readonly #host: string;
  readonly #onRequest: RequestListener;
  #port: number;
  #isWanted = false;
  #wasOpen = false;
  #opening: Promise<void> | undefined;
  #server: Server | undefined;

  /** `port` 0 takes a free one at the first opening and keeps it. */
  constructor(host: string, port: number, onRequest: RequestListener) {
    this.#host = host;
    this.#port = port;
    this.#onRequest = onRequest;
  }

  get port(): number {
    return this.#port;
  }

  /**
   * Resolves when connections are accepted, or when shut() came between. The first opening throws what the
   * system says (EADDRINUSE, EACCES, …). A later one tries a taken port again for ten seconds: while nobody
   * listened, some client's outgoing connection may have been given the same number.
   */
  async open(): Promise<void> {
    this.#isWanted = true;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  /** Stops accepting and drops every connection at once; resolves when all of them are closed. */
  async shut(): Promise<void> {
    this.#isWanted = false;
    // Whoever called open() hears of its failure.
    if (this.#opening !== undefined) await this.#opening.catch(() => undefined);
    const server = this.#server;
    if (this.#isWanted || server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #open(): Promise<void> {
    let attemptsLeft = this.#wasOpen ? REOPEN_ATTEMPTS : 1;
    while (this.#isWanted && this.#server === undefined) {
      try {
        this.#server = await this.#listen();
        this.#wasOpen = true;
      } catch (error) {
        attemptsLeft--;
        const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (!isTaken || attemptsLeft === 0) throw error;
        await delay(REOPEN_PAUSE_MS);
      }
    }
  }

  async #listen(): Promise<Server> {
    const options = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 };
    const server = createServer(options, this.#onRequest);
    server.listen({ host: this.#host, port: this.#port, backlog: BACKLOG });
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
    return server;
  }
}
