// Passes connections on to a server of this machine and counts what goes through: bytes either way, and
// requests where they are HTTP. Its clients don't send a request before the one before it is answered.

import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

export interface Traffic {
  toServerBytes: number;
  fromServerBytes: number;
  /** By method and kind of place, such as "PUT /bucket/…?partNumber". */
  requests: ReadonlyMap<string, number>;
}

const REQUEST_LINE = /^([A-Z]+) (\S+) HTTP\/1\.1\r\n/;
const LONGEST_REQUEST_LINE = 4_096;

export class CountingRelay implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #toServerBytes = 0;
  #fromServerBytes = 0;
  #requests = new Map<string, number>();

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => this.#relay(client, connect(targetPort, "127.0.0.1")));
  }

  static async start(targetPort: number): Promise<CountingRelay> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new CountingRelay(server, targetPort);
  }

  #relay(client: Socket, target: Socket): void {
    let isRequestDue = true;
    client.on("data", (bytes: Buffer) => {
      this.#toServerBytes += bytes.length;
      if (isRequestDue) isRequestDue = !this.#noteRequest(bytes);
    });
    target.on("data", (bytes: Buffer) => {
      this.#fromServerBytes += bytes.length;
      isRequestDue = true;
    });
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }

  /** False for what does not begin a request: the body of one whose client waited to be told to go on. */
  #noteRequest(bytes: Buffer): boolean {
    const [, method, target] =
      REQUEST_LINE.exec(bytes.toString("latin1", 0, LONGEST_REQUEST_LINE)) ?? [];
    if (method === undefined || target === undefined) return false;
    const name = `${method} ${kindOf(target)}`;
    this.#requests.set(name, (this.#requests.get(name) ?? 0) + 1);
    return true;
  }

  /** What went through since the last call. */
  take(): Traffic {
    const traffic = {
      toServerBytes: this.#toServerBytes,
      fromServerBytes: this.#fromServerBytes,
      requests: this.#requests,
    };
    this.#toServerBytes = 0;
    this.#fromServerBytes = 0;
    this.#requests = new Map();
    return traffic;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Folders of a path, without what names one object, and the names of what is asked for. */
function kindOf(target: string): string {
  const { pathname, searchParams } = new URL(target, "http://relay");
  const folders = pathname.split("/").filter((part) => /^[a-z]+$/.test(part));
  const asked = [...searchParams.keys()].join("&");
  return `/${folders.join("/")}${asked === "" ? "" : `?${asked}`}`;
}
