// Stands between a client and an S3 server, and does to each request what a function says: passes it on, refuses
// it, cuts the connection before or after it has had its effect, cuts or holds back the answer.

import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";

const MAX_REMEMBERED = 20_000;

/** What is seen of a request before it is decided on. */
export interface ProxiedRequest {
  method: string;
  /** Decoded: "/bucket/key". */
  path: string;
  query: URLSearchParams;
  /** The first is 0. */
  number: number;
  headers: IncomingMessage["headers"];
}

export type FaultAction =
  | "pass"
  /** The server never hears of it. */
  | "reset"
  /** The server does it, and nobody hears of that. */
  | "reset-after"
  /** Neither an answer nor an end of the connection. */
  | "hang"
  /** Answered here. */
  | { status: number; code?: string; body?: string }
  /** Passed on later. */
  | { delayMs: number }
  /** So much of the answer's body arrives, and then the connection ends. */
  | { cutAfterBytes: number }
  /** Done by the server, and answered with this instead. */
  | { replacement: { status: number; body: string } };

export class S3FaultProxy implements AsyncDisposable {
  readonly url: string;
  /** What came, in order: the last of it, when it was very much. */
  readonly requests: ProxiedRequest[] = [];
  #count = 0;
  /** Requests that are being answered now, and the most there were at a time. */
  underWay = 0;
  mostUnderWay = 0;
  decide: (request: ProxiedRequest) => FaultAction;
  /** Told of all that the server did, whether anybody hears of it or not. */
  onDone: (path: string, body: Buffer) => void = () => undefined;
  readonly #server: Server;
  readonly #target: URL;

  private constructor(
    server: Server,
    target: string,
    decide: (request: ProxiedRequest) => FaultAction,
  ) {
    this.#server = server;
    this.#target = new URL(target);
    this.decide = decide;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => void this.#handle(request, response));
  }

  static async start(
    target: string,
    decide: (request: ProxiedRequest) => FaultAction = () => "pass",
  ): Promise<S3FaultProxy> {
    const server = createServer({ keepAliveTimeout: 60_000 }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return new S3FaultProxy(server, target, decide);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const seen: ProxiedRequest = {
      method: request.method ?? "GET",
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      number: this.#count++,
      headers: request.headers,
    };
    this.requests.push(seen);
    if (this.requests.length > MAX_REMEMBERED) this.requests.splice(0, MAX_REMEMBERED / 2);
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    try {
      await this.#act(this.decide(seen), seen, request, response);
    } catch {
      // Either side has ended the connection: so does this one.
      response.destroy();
    } finally {
      this.underWay -= 1;
    }
  }

  async #act(
    action: FaultAction,
    { path }: ProxiedRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (action === "reset") {
      request.socket.resetAndDestroy();
      return;
    }
    const body = await buffer(request);
    if (action === "hang") {
      await once(response, "close");
      return;
    }
    if (typeof action === "object" && "status" in action) {
      const code = action.code ?? (action.status === 503 ? "SlowDown" : "InternalError");
      respond(response, action.status, action.body ?? `<Error><Code>${code}</Code></Error>`);
      return;
    }
    if (typeof action === "object" && "delayMs" in action) await delay(action.delayMs);
    const answer = await this.#forward(request, body);
    if ((answer.statusCode ?? 500) < 300) this.onDone(path, body);
    if (action === "reset-after") {
      answer.resume();
      await once(answer, "end");
      request.socket.resetAndDestroy();
      return;
    }
    if (typeof action === "object" && "replacement" in action) {
      answer.resume();
      await once(answer, "end");
      respond(response, action.replacement.status, action.replacement.body);
      return;
    }
    const limitBytes =
      typeof action === "object" && "cutAfterBytes" in action
        ? action.cutAfterBytes
        : Number.POSITIVE_INFINITY;
    await passOn(answer, response, limitBytes);
  }

  async #forward(request: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    // The host is part of what was signed, so it stays.
    const forwarded = httpRequest({
      host: this.#target.hostname,
      port: this.#target.port,
      method: request.method,
      path: request.url,
      headers: { ...request.headers, connection: "close" },
    });
    forwarded.end(body);
    const [answer] = (await once(forwarded, "response")) as [IncomingMessage];
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function respond(response: ServerResponse, status: number, body: string): void {
  const headers = { "content-type": "application/xml", "content-length": Buffer.byteLength(body) };
  response.writeHead(status, headers).end(body);
}

async function passOn(
  answer: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
): Promise<void> {
  const { connection: _ours, ...headers } = answer.headers;
  response.writeHead(answer.statusCode ?? 502, headers);
  let passed = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const rest = limitBytes - passed;
    if (chunk.length > rest) {
      await new Promise((resolve) => response.write(chunk.subarray(0, rest), resolve));
      response.destroy();
      return;
    }
    passed += chunk.length;
    if (!response.write(chunk)) await once(response, "drain");
  }
  response.end();
}
