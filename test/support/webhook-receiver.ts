// A program that gets webhooks, as OpenAI's documentation has it: it verifies each with the official SDK. It
// can be told to be down, to hang, or to answer something else than 200.
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { text } from "node:stream/consumers";
import OpenAI from "openai";

export interface ReceivedEvent {
  /** The same at every attempt of one delivery. */
  webhookId: string;
  type: string;
  objectId: string;
}

export class WebhookReceiver implements AsyncDisposable {
  /** Verified events that were answered with 200. */
  readonly accepted: ReceivedEvent[] = [];
  /** Verified events of all attempts. */
  readonly attempts: ReceivedEvent[] = [];
  /** What did not verify. */
  readonly unverified: string[] = [];
  /** Set once the webhook is made. */
  secret = "";
  mode: "accept" | "hang" | number = "accept";
  readonly #openai = new OpenAI({ apiKey: "unused" });
  #server: Server | undefined;
  #port = 0;

  /** Listens, on the same port as before. */
  async up(): Promise<void> {
    const server = createServer((request, response) => void this.#take(request, response));
    this.#server = server;
    await new Promise<void>((listening) => server.listen(this.#port, "127.0.0.1", listening));
    const address = server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  /** Refuses connections from now on. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise((done) => server.close(done));
    server.closeAllConnections();
    await closed;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook`;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    try {
      const headers = request.headers as Record<string, string>;
      const { type, data } = await this.#openai.webhooks.unwrap(body, headers, this.secret);
      const webhookId = headers["webhook-id"] ?? "";
      const event = { webhookId, type, objectId: (data as { id: string }).id };
      this.attempts.push(event);
      if (this.mode === "accept") this.accepted.push(event);
    } catch (error) {
      this.unverified.push(`${(error as Error).message}: ${body}`);
    }
    if (this.mode === "hang") return;
    response.writeHead(this.mode === "accept" ? 200 : this.mode).end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}
