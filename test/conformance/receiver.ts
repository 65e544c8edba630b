// Receives webhooks on loopback and keeps them. It answers each with 200, unless told otherwise.
import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { until } from "./target.ts";

export interface ReceivedWebhook {
  method: string;
  headers: Record<string, string>;
  body: string;
  /** The batch it is about. */
  batchId: string;
}

export class Receiver implements AsyncDisposable {
  readonly received: ReceivedWebhook[] = [];
  /** The signing secret with which the server was told to sign; set by who registers the receiver. */
  secret = "";
  /** Events about these batches are answered with 500 the first time. */
  readonly refuseOnce = new Set<string>();
  /** What everything else is answered with. */
  status = 200;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      buffer(request)
        .then((bytes) => {
          const body = bytes.toString();
          const { data } = JSON.parse(body) as { data: { id: string } };
          const { method = "" } = request;
          const headers = Object.fromEntries(
            Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
          );
          this.received.push({ method, headers, body, batchId: data.id });
          response.writeHead(this.refuseOnce.delete(data.id) ? 500 : this.status).end();
        })
        .catch(() => response.writeHead(400).end());
    });
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  /** The first `count` deliveries about a batch, as soon as they are there. */
  about(batchId: string, count = 1): Promise<ReceivedWebhook[]> {
    return until(`${count} webhooks about ${batchId}`, async () => {
      const found = this.received.filter((one) => one.batchId === batchId);
      return found.length >= count ? found.slice(0, count) : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
