import { type RequestListener, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { RemoteFileRefusedError } from "../core/remote-file.ts";
import { fetchRemoteFile } from "./remote-file.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function fetchFile(
  url: string,
  change: { maxBytes?: number; allowPrivate?: boolean; signal?: AbortSignal } = {},
) {
  const options = { maxBytes: 1_000, allowPrivate: true, signal: new AbortController().signal };
  return fetchRemoteFile(url, { ...options, ...change });
}

test("gives the bytes and what the server calls them", async () => {
  const url = await serve((request, response) => {
    response.writeHead(200, { "content-type": "image/png" }).end(`bytes of ${request.url}`);
  });
  const { bytes, contentType } = await fetchFile(`${url}/a.png?size=1`);
  expect(Buffer.from(bytes).toString()).toBe("bytes of /a.png?size=1");
  expect(contentType).toBe("image/png");
});

test("follows a few redirects, also to another server", async () => {
  const target = await serve((_request, response) => response.end("there"));
  const url = await serve((_request, response) =>
    response.writeHead(302, { location: target }).end(),
  );
  expect(Buffer.from((await fetchFile(url)).bytes).toString()).toBe("there");
});

test.each([
  ["redirects for ever", { status: 302, location: "/again" }, "it redirects more than 3 times"],
  ["redirects to nowhere", { status: 302, location: "" }, "it redirects to nowhere"],
  ["is not there", { status: 404 }, "it answered 404"],
  [
    "is too large",
    { status: 200, body: "x".repeat(1_001) },
    "it is larger than the 1000 bytes allowed",
  ],
])(
  "a file that %s is refused",
  async (
    _name,
    { status, location, body }: { status: number; location?: string; body?: string },
    message,
  ) => {
    const url = await serve((_request, response) => {
      response.writeHead(status, location === undefined ? {} : { location }).end(body);
    });
    await expect(fetchFile(url)).rejects.toThrow(new RemoteFileRefusedError(message));
  },
);

test.each([
  "http://127.0.0.1:9/",
  "https://127.0.0.1:9/",
  "https://localhost/",
  "https://[::1]/",
  "https://10.0.0.1/a.png",
  "file:///etc/passwd",
])("%s is refused without being asked", async (url) => {
  await expect(fetchFile(url, { allowPrivate: false })).rejects.toThrow(RemoteFileRefusedError);
});

test("a server that fails may be asked again", async () => {
  const url = await serve((_request, response) => response.writeHead(503).end());
  const failure = fetchFile(url);
  await expect(failure).rejects.toThrow("it answered 503");
  await expect(failure).rejects.not.toThrow(RemoteFileRefusedError);
});

test("a server that never answers is left when told so", async () => {
  const stopping = new AbortController();
  const url = await serve(() => stopping.abort(new Error("stopped")));
  await expect(fetchFile(url, { signal: stopping.signal })).rejects.toThrow("stopped");
});
