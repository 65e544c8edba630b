// An inference backend that does with each request what a test says, down to its connection. Counts
// the connections and keeps the requests. Questions for its models are answered apart.
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import type { UpstreamRequest } from "../../src/core/upstream.ts";
import { until } from "./until.ts";

/** A request such as an upstream is given. */
export function postRequest(
  body: string | Uint8Array,
  change: Partial<UpstreamRequest> = {},
): UpstreamRequest {
  return {
    method: "POST",
    path: "/v1/embeddings",
    contentType: "application/json",
    body: typeof body === "string" ? Buffer.from(body) : body,
    replica: null,
    requestId: "r-1",
    ...change,
  };
}

/** One request whose answer is up to the test. */
export interface Received {
  request: IncomingMessage;
  response: ServerResponse;
  socket: Socket;
  bytes: Buffer;
  /** The same as text. */
  body: string;
}

export interface Script {
  /** What becomes of a POST once its body is there. Left out: it waits for the test in `waiting`. */
  onPost?: (received: Received) => void;
  /** What becomes of a POST before its body is read; true when that was all. */
  onHead?: (request: IncomingMessage, response: ServerResponse) => boolean;
  onModels?: RequestListener;
  /** What becomes of a GET of anything else. Left out: a 404. */
  onGet?: RequestListener;
}

const LIST = JSON.stringify({ object: "list", data: [{ id: "m", object: "model" }] });

export class ScriptedBackend implements AsyncDisposable {
  /** All POSTs whose bodies came, in their order. */
  readonly received: Received[] = [];
  script: Script;
  /** Connections ever made, of those that asked for models too. */
  connections = 0;
  peakOpen = 0;
  readonly #open = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(script: Script) {
    this.script = script;
  }

  static async start(script: Script = {}): Promise<ScriptedBackend> {
    const backend = new ScriptedBackend(script);
    await backend.listen();
    return backend;
  }

  /** Accepts connections, after a stop on the same port. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    this.#server = server;
    server.on("connection", (socket) => {
      this.connections++;
      this.#open.add(socket);
      this.peakOpen = Math.max(this.peakOpen, this.#open.size);
      // Connections are cut here on purpose, on both sides.
      socket.on("error", () => undefined);
      socket.on("close", () => this.#open.delete(socket));
    });
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}/v1`;
  }

  /** Open connections. */
  get open(): number {
    return this.#open.size;
  }

  /** The POST of this position, as soon as it is there. */
  post(at = 0): Promise<Received> {
    return until(`request ${at}`, () => this.received[at], { timeoutMs: 5_000, pauseMs: 1 });
  }

  /** Shuts the port and cuts all connections, as a process does that dies. */
  die(): void {
    this.#server?.close();
    this.#server = undefined;
    this.cutAll();
  }

  cutAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
    await until("the backend's end", () => this.open === 0);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "GET") {
      if (!request.url?.endsWith("/models")) {
        if (this.script.onGet) this.script.onGet(request, response);
        else answer(response, 404, "{}");
      } else if (this.script.onModels) this.script.onModels(request, response);
      else answer(response, 200, LIST);
      return;
    }
    if (this.script.onHead?.(request, response)) return;
    try {
      const bytes = await buffer(request);
      const received = { request, response, socket: request.socket, bytes, body: String(bytes) };
      this.received.push(received);
      this.script.onPost?.(received);
    } catch {
      // The client went away while it was sending.
    }
  }
}

export function answer(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}
