// Paths, queries, headers and whole requests as no client should send them: each is answered or refused, never a
// fault. FUZZ_SEED repeats the random ones.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { FuzzedServer } from "../support/fuzzed-server.ts";
import { batchForm } from "../support/multipart-form.ts";
import { mutated } from "../support/mutation.ts";
import { seededRandom } from "../support/random.ts";
import { json } from "../support/raw-http.ts";

const MUTATIONS = 1_500;
/** Headers that Node.js reads. */
const READ_HEADER_BYTES = 16 * 1024;
const HINT_CHARACTERS = 1_000;

let server: FuzzedServer;
let fileId: string;
let batchId: string;
beforeAll(async () => {
  server = await FuzzedServer.start();
  const file = await server.ask("/v1/files", batchForm());
  fileId = (file.json as { id: string }).id;
  const newBatch = {
    input_file_id: fileId,
    endpoint: "/v1/embeddings",
    completion_window: "24h",
    metadata: { key: "value" },
  };
  const batch = await server.ask("/v1/batches", { method: "POST", ...json(newBatch) });
  batchId = (batch.json as { id: string }).id;
});
afterAll(() => server[Symbol.asyncDispose]());
afterEach(() => server.expectUnharmed());

/** As they stand in a path or a query. */
const oddTexts = [
  "%00",
  "a%00b",
  "%0d%0a",
  "%0D%0AX-A:%20b",
  "%ff",
  "%c0%80",
  "%ed%a0%80",
  "%e2%80%a8",
  "%F0%9F%98%80",
  "%",
  "%2",
  "%zz",
  "%25",
  "%2525",
  "%u0041",
  "%2f",
  "%2F..%2F..",
  "..",
  "../..",
  ".",
  "%2e%2e",
  "a/b/c",
  "//",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "null",
  "undefined",
  "NaN",
  "true",
  "[]",
  "{}",
  "*",
  "'",
  "''",
  "%22",
  "%27%20or%201=1--",
  "%5c",
  ";",
  "a;b",
  ":",
  "?",
  "#",
  "+",
  "%20",
  "-1",
  "0",
  "1e400",
  "-0",
  "9007199254740993",
  "99999999999999999999",
  "x".repeat(512),
  "x".repeat(513),
  "x".repeat(5_000),
  "%41".repeat(2_000),
];
const [API, ADMIN] = ["/v1", "/admin/v1"];
/** With an odd text where the star is. */
const oddPaths = [
  ...["files/*", "files/*/content", "batches/*", "models/*", "*"].map(
    (path) => `GET ${API}/${path}`,
  ),
  ...["batches/*/cancel", "uploads/*/cancel", "uploads/*/complete", "uploads/*/parts", "*"].map(
    (path) => `POST ${API}/${path}`,
  ),
  `DELETE ${API}/files/*`,
  `PUT ${API}/*`,
  "GET /*",
  "POST /*",
  ...["keys/*", "webhooks/*"].map((path) => `DELETE ${ADMIN}/${path}`),
  ...["webhooks/*", "webhooks/*/deliveries"].map((path) => `GET ${ADMIN}/${path}`),
  `POST ${ADMIN}/webhooks/*/test`,
];
const oddQueries = [
  ...[
    "after",
    "limit",
    "order",
    "purpose",
    "status",
    "model",
    "created_after",
    "metadata[key]",
    "project",
  ].map((key) => `${key}=*`),
  "metadata[*]=a",
  "*=a",
  "*",
  "metadata[*]=*",
  "metadata[key]=*&metadata[key]=*",
  "metadata[*",
  "metadata[a][*]=a",
  "limit=*&limit=2",
  "after=*&after=*",
  "&".repeat(5_000),
  "a=*&".repeat(20),
  "=",
  "&=&",
  "=*",
];
const lists = [
  `${API}/files`,
  `${API}/batches`,
  `${API}/models`,
  `${ADMIN}/keys`,
  `${ADMIN}/webhooks`,
  "/healthz",
];

/** Every way to put an odd text in place of the stars. */
function filled(pattern: string): string[] {
  if (!pattern.includes("*")) return [pattern];
  return oddTexts.map((text) => pattern.replaceAll("*", () => text));
}

/** A request as bytes, headers as they are. */
function raw(start: string, headers: readonly string[], body: string | Buffer = ""): Buffer {
  const path = start.split(" ")[1] ?? "";
  const all = ["host: 127.0.0.1", `authorization: ${server.authorization(path)}`, ...headers];
  const head = `${start} HTTP/1.1\r\n${all.map((line) => `${line}\r\n`).join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body)]);
}

/** A connection may be closed without a word only on headers that are too long to be read. */
async function expectReply(bytes: Buffer, hint: string): Promise<void> {
  const reply = await server.tell(bytes, hint);
  if (bytes.length < READ_HEADER_BYTES) expect(reply, hint).toBeDefined();
}

/** Each may be answered, refused, or have its connection closed. */
async function expectNoFault(attacks: readonly (string | Buffer)[]): Promise<void> {
  await server.each(attacks, async (bytes) => {
    await server.tell(bytes, bytes.toString("latin1").slice(0, HINT_CHARACTERS));
  });
}

describe("a request", () => {
  test("for an odd path", async () => {
    await server.each(oddPaths.flatMap(filled), async (start) => {
      await expectReply(raw(start, ["content-length: 0"]), start);
    });
  });

  test("with an odd query", async () => {
    const starts = lists.flatMap((path) =>
      oddQueries.flatMap(filled).map((query) => `GET ${path}?${query}`),
    );
    await server.each(starts, (start) => expectReply(raw(start, []), start));
  });

  test("with odd headers", async () => {
    const values = [
      "",
      " ",
      "\x80\xff",
      "é",
      "\0",
      "a\0b",
      "\x01\x1f\x7f",
      "a, b",
      '"',
      "'",
      "x".repeat(255),
      "x".repeat(256),
      "x".repeat(10_000),
      "x".repeat(100_000),
      "__proto__",
      "constructor",
      "Bearer",
      "Bearer ",
      "Bearer \xff",
      "Bearer a b",
      "Basic YTpi",
      "bytes=",
      "bytes=-",
      "bytes=-0",
      "bytes=0-",
      "bytes=9-1",
      "bytes=0-0,1-1",
      "bytes=-99999999999999999999",
      `bytes=${"9".repeat(400)}-`,
      `bytes=0-${"9".repeat(400)}`,
      "bytes=1e3-",
      "bytes=0x1-",
      "bytes=18-",
      "lines=1-2",
      "bytes=\xb2-",
      "*",
      "gzip;q=nope",
      "[::1]:99999",
      "http://[",
      "null",
    ];
    const names = [
      "authorization",
      "range",
      "if-range",
      "idempotency-key",
      "host",
      "origin",
      "content-type",
      "accept",
      "content-length",
      "transfer-encoding",
      "expect",
      "connection",
      "upgrade",
      "cookie",
      "x-request-id",
      "__proto__",
      "constructor",
      "x-forwarded-for",
      "accept-encoding",
      "content-encoding",
      "referer",
    ];
    const starts = [
      `GET ${API}/files/${fileId}/content`,
      `POST ${API}/batches`,
      `GET ${ADMIN}/keys`,
    ];
    const attacks = starts.flatMap((start) =>
      names.flatMap((name) => values.map((value) => raw(start, [`${name}: ${value}`]))),
    );
    await expectNoFault(attacks);
  });

  test("with too many headers, or of no known shape", async () => {
    const many = Array.from({ length: 5_000 }, (_, index) => `x-${index}: a`);
    const attacks = [
      raw(`GET ${API}/files`, many),
      raw(`GET ${API}/files`, ["a b: c"]),
      raw(`GET ${API}/files`, [": a"]),
      raw(`GET ${API}/files`, [" folded: a", "\tand: b"]),
      raw(`GET ${API}/files`, ["no colon"]),
      raw(`BREW ${API}/files`, []),
      raw(`get ${API}/files`, []),
      raw(`GET  ${API}/files`, []),
      raw("GET * ", []),
      raw("OPTIONS *", []),
      raw("CONNECT example.com:443", []),
      raw(`GET http://example.com${API}/files`, []),
      raw(`GET ${API}/files?a=\xff\x80`, []),
      "\r\n\r\n",
      "\0",
      "GET",
      "GET / HTTP/9.9\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "\x16\x03\x01\x02\x00",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET /healthz\r\n\r\n",
      "\xff".repeat(100_000),
      "a".repeat(1_000_000),
    ];
    await expectNoFault(attacks);
  });

  test("with chunks that are none", async () => {
    const start = `POST ${API}/batches`;
    const headers = ["transfer-encoding: chunked", "content-type: application/json"];
    const bodies = [
      "",
      "0",
      "0\r\n",
      "x\r\n",
      "-1\r\n",
      "ffffffffffffffff1\r\n",
      "2\r\n{}",
      "2\r\n{}\r\n",
      "1\r\n{}\r\n0\r\n\r\n",
    ];
    await server.each([...bodies, `2;${"x".repeat(100_000)}\r\n{}\r\n0\r\n\r\n`], async (body) => {
      const reply = await server.tell(raw(start, headers, body), JSON.stringify(body.slice(0, 50)));
      expect(reply?.status ?? 400).toBeGreaterThanOrEqual(400);
    });
  });

  test("changed at random", async () => {
    const random = seededRandom("FUZZ_SEED");
    console.info(`FUZZ_SEED=${random.seed}`);
    const body = JSON.stringify({
      input_file_id: fileId,
      endpoint: "/v1/embeddings",
      completion_window: "24h",
    });
    const length = `content-length: ${body.length}`;
    const good = [
      raw(`GET ${API}/batches/${batchId}`, []),
      raw(`GET ${API}/batches?limit=2&after=${batchId}&metadata[key]=value`, []),
      raw(`GET ${API}/files/${fileId}/content`, ["range: bytes=0-5", `if-range: "${fileId}"`]),
      raw(
        `POST ${API}/batches`,
        [length, "content-type: application/json", "idempotency-key: a"],
        body,
      ),
    ];
    const attacks = good.flatMap((bytes) =>
      Array.from({ length: MUTATIONS / good.length }, () => mutated(bytes, random)),
    );
    await expectNoFault(attacks);
  });
});
