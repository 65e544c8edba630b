import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type LookupFunction } from "node:net";
import { Client } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guardedConnector } from "./guarded-connector.ts";
import { AddressRefusedError } from "./outgoing-url.ts";

let cleanup: AsyncDisposableStack;
beforeEach(() => (cleanup = new AsyncDisposableStack()));
afterEach(() => cleanup.disposeAsync());

/** A server on loopback that counts its connections. */
async function served() {
  const server = createServer((_request, response) => response.end("hello"));
  let connections = 0;
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.defer(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  return { port, count: () => connections };
}

/** Answers with these addresses, one list for each question in turn, the last one for ever. */
function resolving(...answers: string[][]) {
  const asked: string[] = [];
  const resolve: LookupFunction = (hostname, options, callback) => {
    const addresses = answers[Math.min(asked.length, answers.length - 1)]!;
    asked.push(hostname);
    expect(options.all).toBe(true);
    const found = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    queueMicrotask(() => callback(null, found));
  };
  return { resolve, asked };
}

/** Sends a GET and answers its status. */
async function get(url: string, options: Parameters<typeof guardedConnector>[0]): Promise<number> {
  const client = new Client(new URL(url).origin, { connect: guardedConnector(options) });
  cleanup.defer(() => client.destroy());
  const { statusCode, body } = await client.request({ method: "GET", path: "/" });
  await body.dump();
  return statusCode;
}

describe("where private addresses are refused", () => {
  it("does not connect to an address that stands in the URL", async () => {
    const { port, count } = await served();
    for (const host of ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]) {
      for (const scheme of ["http", "https"]) {
        const got = get(`${scheme}://${host}:${port}`, { allowPrivate: false });
        await expect(got).rejects.toThrow(AddressRefusedError);
      }
    }
    expect(count()).toBe(0);
  });

  it.each(["http", "https"])(
    "does not connect over %s to what a name resolves to",
    async (scheme) => {
      const { port, count } = await served();
      const { resolve } = resolving(["127.0.0.1"]);
      const got = get(`${scheme}://inside.example:${port}`, { allowPrivate: false, resolve });
      await expect(got).rejects.toThrow(new AddressRefusedError("inside.example"));
      expect(count()).toBe(0);
    },
  );

  it("does not connect to this machine by its own name", async () => {
    const { port, count } = await served();
    for (const host of ["localhost", "localhost."]) {
      const got = get(`http://${host}:${port}`, { allowPrivate: false });
      // Not every system resolves the second one.
      await expect(got).rejects.toThrow(/is not on the public internet|ENOTFOUND|EAI_AGAIN/);
    }
    expect(count()).toBe(0);
  });

  it("refuses a name of which any address is refused, in any place", async () => {
    const { port, count } = await served();
    for (const addresses of [
      ["192.0.2.1", "127.0.0.1"],
      ["2606:4700::1111", "::1"],
      ["::1", "8.8.8.8"],
    ]) {
      const { resolve } = resolving(addresses);
      const got = get(`http://both.example:${port}`, { allowPrivate: false, resolve });
      await expect(got).rejects.toThrow(AddressRefusedError);
    }
    expect(count()).toBe(0);
  });

  it("judges a name at every connection by the one answer it connects to", async () => {
    const { port } = await served();
    const { resolve, asked } = resolving(["127.0.0.1"]);
    const options = { allowPrivate: false, resolve };
    await expect(get(`http://turns.example:${port}`, options)).rejects.toThrow(AddressRefusedError);
    await expect(get(`http://turns.example:${port}`, options)).rejects.toThrow(AddressRefusedError);
    expect(asked).toEqual(["turns.example", "turns.example"]);
  });

  it("passes on why a name can't be resolved, and that it has no address", async () => {
    const failure = Object.assign(new Error("getaddrinfo ENOTFOUND gone.example"), {
      code: "ENOTFOUND",
    });
    const missing = get("http://gone.example", {
      allowPrivate: false,
      resolve: (_hostname, _options, callback) => callback(failure, []),
    });
    await expect(missing).rejects.toThrow("getaddrinfo ENOTFOUND gone.example");
    const empty = get("http://empty.example", { allowPrivate: false, ...resolving([]) });
    await expect(empty).rejects.toThrow("empty.example has no address");
  });
});

describe("where private addresses are allowed", () => {
  it("connects to an address and to a name", async () => {
    const { port } = await served();
    const { resolve } = resolving(["127.0.0.1"]);
    expect(await get(`http://127.0.0.1:${port}`, { allowPrivate: true })).toBe(200);
    expect(await get(`http://inside.example:${port}`, { allowPrivate: true, resolve })).toBe(200);
  });
});

describe("the signal", () => {
  it("ends a connection while its name is looked up", async () => {
    const ending = new AbortController();
    const got = get("http://slow.example", {
      allowPrivate: false,
      signal: ending.signal,
      resolve: () => queueMicrotask(() => ending.abort()),
    });
    await expect(got).rejects.toMatchObject({ code: "ABORT_ERR" });
  });

  it.each(["http", "https"])(
    "ends a connection over %s to one that says nothing",
    async (scheme) => {
      const ending = new AbortController();
      // Over https it keeps the handshake waiting.
      const mute = createTcpServer((socket) => {
        socket.on("error", () => undefined).once("data", () => ending.abort());
      });
      mute.listen(0, "127.0.0.1");
      await once(mute, "listening");
      cleanup.defer(async () => void (await once(mute.close(), "close")));
      const { port } = mute.address() as AddressInfo;
      const got = get(`${scheme}://127.0.0.1:${port}`, {
        allowPrivate: true,
        signal: ending.signal,
      });
      await expect(got).rejects.toMatchObject({ code: "ABORT_ERR" });
    },
  );
});
