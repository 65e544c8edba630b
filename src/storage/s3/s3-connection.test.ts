// What goes over the wire: where the bucket is named. A host name for each bucket can't be resolved on every
// machine, so that its resolution is replaced.
import dns from "node:dns";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { HeadObjectCommand } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { S3Connection } from "./s3-connection.ts";

const seen: IncomingMessage[] = [];
const server = createServer((request, response) => {
  seen.push(request);
  response.writeHead(200, { "content-length": 3, etag: '"x"' }).end();
});

beforeEach(async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "key");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
  seen.length = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

test.each([
  [true, "s3.test", "/shelf/p/a/b"],
  [false, "shelf.s3.test", "/p/a/b"],
])("with path style %s the bucket is named in %s%s", async (pathStyle, host, path) => {
  vi.spyOn(dns, "lookup").mockImplementation(((_host: string, _options: object, found: unknown) =>
    (found as (error: null, addresses: dns.LookupAddress[]) => void)(null, [
      { address: "127.0.0.1", family: 4 },
    ])) as typeof dns.lookup);
  const { port } = server.address() as AddressInfo;
  const connection = new S3Connection({
    bucket: "shelf",
    prefix: "p",
    endpoint: `http://s3.test:${port}`,
    pathStyle,
    encryption: "none",
  });
  await connection.run("look", (client) =>
    client.send(new HeadObjectCommand({ Bucket: "shelf", Key: connection.objectKey("a/b") })),
  );
  connection.close();
  expect([seen[0]?.headers.host, seen[0]?.url]).toEqual([`${host}:${port}`, path]);
});
