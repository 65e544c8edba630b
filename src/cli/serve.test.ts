import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const OFFPEAK = fileURLToPath(new URL("./offpeak.ts", import.meta.url));

let folder: string;
const children: Server[] = [];

class Server {
  readonly #child;
  readonly #said: Promise<string>;
  stdout = "";

  constructor(...flags: string[]) {
    // Nothing listens on port 9: the server waits for its upstream, which is all it has to do here.
    const upstream = ["--upstream", "http://127.0.0.1:9"];
    this.#child = spawn(process.execPath, [OFFPEAK, "serve", ...upstream, ...flags], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout.on("data", (chunk) => (this.stdout += String(chunk)));
    this.#said = text(this.#child.stderr);
    children.push(this);
  }

  async listening(): Promise<URL> {
    for (;;) {
      const url = /listens on (\S+)\. /.exec(this.stdout)?.[1];
      if (url !== undefined) return new URL(url);
      await once(this.#child.stdout, "data");
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async exited(): Promise<{ exitCode: number | null; said: string }> {
    if (this.#child.exitCode === null) await once(this.#child, "exit");
    return { exitCode: this.#child.exitCode, said: await this.#said };
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "offpeak-serve-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.signal("SIGKILL");
  await rm(folder, { recursive: true });
});

/** Resolves when nobody listens there any more. */
async function refused(port: number, hostname: string): Promise<void> {
  for (;;) {
    const socket = connect(port, hostname);
    const reached = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (!reached) return;
  }
}

test.each(["SIGTERM", "SIGINT"] as const)(
  "it serves until %s, and ends in good order",
  async (signal) => {
    const server = new Server("--port", "0");
    const { origin } = await server.listening();
    expect(server.stdout).toBe(
      `Offpeak listens on ${origin}. Base URL for OpenAI SDKs: ${origin}/v1\n`,
    );
    expect((await fetch(`${origin}/v1/batches`)).status).toBe(200);
    server.signal(signal);
    expect((await server.exited()).exitCode).toBe(0);
  },
);

test("a second signal ends it at once", async () => {
  const server = new Server("--port", "0");
  const { hostname, port } = await server.listening();
  const upload = connect(Number(port), hostname).on("error", () => undefined);
  // A request that never ends keeps an orderly stop waiting.
  upload.write(`POST /v1/batches HTTP/1.1\r\nhost: ${hostname}\r\ncontent-length: 9\r\n\r\n`);
  server.signal("SIGTERM");
  await refused(Number(port), hostname);
  server.signal("SIGTERM");
  expect((await server.exited()).exitCode).toBe(143);
  upload.destroy();
});

test("a port that is taken is one message and exit code 1", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const { exitCode, said } = await new Server("--port", String(port)).exited();
  other.close();
  expect(exitCode).toBe(1);
  expect(said).toContain(
    `offpeak: port ${port} on 127.0.0.1 is taken, perhaps by another offpeak. Stop that program, or choose another port with --port.`,
  );
  expect(said).not.toContain("    at ");
});

test("a data directory in use is one message and exit code 1", async () => {
  const first = new Server("--port", "0");
  await first.listening();
  const { exitCode, said } = await new Server("--port", "0").exited();
  expect(exitCode).toBe(1);
  expect(said).toMatch(/offpeak: The data directory .* is in use by another Offpeak process/);
  expect(said).not.toContain("    at ");
  first.signal("SIGTERM");
  expect((await first.exited()).exitCode).toBe(0);
});

test("a host that is not this machine's is one message and exit code 1", async () => {
  const flags = ["--host", "192.0.2.1", "--insecure-no-auth", "--port", "0"];
  const { exitCode, said } = await new Server(...flags).exited();
  expect(exitCode).toBe(1);
  expect(said).toContain("offpeak: 192.0.2.1 is not an address of this machine.");
});
