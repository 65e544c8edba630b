// Stands between one node and the simulator, and keeps what the node sent: when, under which request id, and
// which prompt.

import { once } from "node:events";
import {
  Agent,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  createServer,
  request as httpRequest,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface Send {
  /** Number of the node. */
  node: number;
  /** Epoch ms. */
  at: number;
  requestId: string;
  prompt: string;
}

export class SendRecorder implements AsyncDisposable {
  readonly baseUrl: string;
  /** Of this node, and not answered. */
  inFlight = 0;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #target: URL;
  readonly #record: (send: Omit<Send, "node">) => void;

  private constructor(server: Server, target: string, record: (send: Omit<Send, "node">) => void) {
    this.#server = server;
    this.#target = new URL(target);
    this.#record = record;
    const { address, port } = server.address() as AddressInfo;
    this.baseUrl = `http://${address}:${port}/v1`;
    server.on("request", (request, response) => void this.#handle(request, response));
  }

  /** @param target origin of the simulator */
  static async start(
    host: string,
    target: string,
    record: (send: Omit<Send, "node">) => void,
  ): Promise<SendRecorder> {
    const server = createServer({ keepAliveTimeout: 60_000 }).listen(0, host);
    await once(server, "listening");
    return new SendRecorder(server, target, record);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isLine = request.method === "POST";
    if (isLine) this.inFlight++;
    try {
      const body = await buffer(request);
      if (isLine) {
        const { messages } = JSON.parse(body.toString()) as { messages: { content: string }[] };
        const requestId = String(request.headers["x-request-id"]);
        this.#record({ at: Date.now(), requestId, prompt: messages[0]?.content ?? "" });
      }
      await this.#passOn(request, body, response);
    } catch {
      response.destroy();
    } finally {
      if (isLine) this.inFlight--;
    }
  }

  async #passOn(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const { hostname: host, port } = this.#target;
    const { method, url: path, headers } = request;
    const forwarded = httpRequest({ host, port, method, path, headers, agent: this.#agent });
    // The node has given up, or is dead: so its request ends at the simulator, too.
    response.on("close", () => forwarded.destroy());
    forwarded.end(body);
    const [answer] = (await once(forwarded, "response")) as [IncomingMessage];
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    await once(response, "close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
    this.#agent.destroy();
  }
}
