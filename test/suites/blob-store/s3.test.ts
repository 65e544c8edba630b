// What is particular to a bucket: how objects are laid out, what is kept on the local disk, what unfinished
// uploads leave behind, what is said when the bucket can't be used.

import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { expect, it, onTestFinished, vi } from "vitest";
import { NotFoundError } from "../../../src/core/store.ts";
import { S3Bucket } from "../../support/s3-bucket.ts";
import { S3FaultProxy } from "../../support/s3-fault-proxy.ts";
import { until } from "../../support/until.ts";
import { bytesOf, contentOf, keysOf, patternBytes, put, textOf } from "./blob-store-under-test.ts";

const MB = 1024 * 1024;

async function openProxy(bucket: S3Bucket): Promise<S3FaultProxy> {
  const proxy = await S3FaultProxy.start(bucket.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return proxy;
}

async function cacheFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-s3c-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const segmentName = (key: string, number: number) => `${key}!${String(number).padStart(10, "0")}`;

it("has an object for a blob, and one for each append of a log, under its prefix", async () => {
  const bucket = await S3Bucket.open();
  const store = await bucket.openStore();
  await put(store, "a/blob", "x");
  const log = await store.createLog("a/log");
  for (const line of ["one", "two"]) await log.append([bytesOf(line)]);
  await log.close();
  const segments = [0, 1, 2].map((number) => segmentName("a/log", number));
  expect(await bucket.objects()).toEqual(["a/blob", ...segments]);
});

it("works without a prefix, beside those who have one", async () => {
  const bucket = await S3Bucket.open();
  await put(await bucket.openStore(), "a/b", "with");
  const whole = await bucket.openStore({ prefix: "" });
  expect(await textOf(whole, `${bucket.prefix}/a/b`)).toBe("with");
  expect(await keysOf(whole, `${bucket.prefix}/`)).toEqual([`${bucket.prefix}/a/b`]);
});

it.each([
  [
    "a bucket that does not exist",
    { bucket: "no-such-bucket" },
    /no-such-bucket.*Create the bucket/,
  ],
  [
    "an endpoint where nobody is",
    { endpoint: "http://127.0.0.1:9" },
    /:9: ECONNREFUSED.*reaches it/,
  ],
  ["a prefix that is none", { prefix: "../x" }, /Not a prefix for S3: "\.\.\/x"/],
  ["a prefix that leaves no room for keys", { prefix: "x".repeat(401) }, /at most 400/],
])("refuses %s, and says what to do", async (_what, change, message) => {
  const bucket = await S3Bucket.open();
  await expect(bucket.openStore(change)).rejects.toThrow(message);
});

it.each(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])(
  "refuses a wrong %s, and does not repeat it",
  async (name) => {
    const bucket = await S3Bucket.open();
    vi.stubEnv(name, "wrong-and-secret");
    onTestFinished(() => void vi.unstubAllEnvs());
    // With all that a log could show of it.
    const message = await bucket.openStore().then(
      () => "opened",
      (refused: Error) => inspect(refused, { depth: 9, showHidden: true }),
    );
    expect(message).toMatch(/Cannot use the S3 bucket offpeak-test at http.*valid credentials/);
    expect(message).not.toContain("wrong-and-secret");
  },
);

it("reads a log of more segments than one page lists, and asks for several at a time", async () => {
  const bucket = await S3Bucket.open();
  const proxy = await openProxy(bucket);
  const lines = Array.from({ length: 1_100 }, (_, number) => `line ${number}\n`);
  const puts = ["", ...lines].map((line, number) => async () => {
    const Key = `${bucket.prefix}/${segmentName("a/log", number)}`;
    await bucket.client.send(
      new PutObjectCommand({ Bucket: bucket.name, Key, Body: bytesOf(line) }),
    );
  });
  while (puts.length > 0) await Promise.all(puts.splice(0, 40).map((begin) => begin()));
  const store = await bucket.openStore({ endpoint: proxy.url });
  expect(await keysOf(store, "a/")).toEqual(["a/log"]);
  expect(await textOf(store, "a/log")).toBe(lines.join(""));
  expect(proxy.mostUnderWay).toBeGreaterThanOrEqual(4);
  expect(await textOf(store, "a/log", { start: 3, end: 9 })).toBe("e 0\nli");
  await store.delete("a/log");
  expect(await bucket.objects()).toEqual([]);
});

it("refuses a log of which a segment is missing, and names it", async () => {
  const bucket = await S3Bucket.open();
  const store = await bucket.openStore();
  const log = await store.createLog("a/log");
  for (const line of ["one", "two", "three"]) await log.append([bytesOf(line)]);
  for (const [missing, number] of [2, 0].entries()) {
    const Key = `${bucket.prefix}/${segmentName("a/log", number)}`;
    await bucket.client.send(new DeleteObjectCommand({ Bucket: bucket.name, Key }));
    await expect(store.open("a/log"), `${missing}`).rejects.toThrow(`${Key} is missing`);
  }
  await expect(store.createLog("a/log")).rejects.toThrow("exists already");
  await store.deleteAll("a/");
  expect(await keysOf(store, "a/")).toEqual([]);
});

it("writes and reads a large blob in the memory of a small one, and keeps the bound of its cache", async () => {
  const bucket = await S3Bucket.open();
  const cacheDirectory = await cacheFolder();
  const store = await bucket.openStore({ cacheDirectory, cacheBytes: 32 * MB });
  const chunk = patternBytes(65_537);
  const chunks = 4_800;
  const before = process.memoryUsage.rss();
  const writer = await store.create("large");
  for (let index = 0; index < chunks; index += 1) await writer.write(chunk);
  await writer.commit();
  const reader = await store.open("large");
  expect(reader.sizeBytes).toBe(chunks * chunk.length);
  const memory = new Uint8Array(chunk.length * 8);
  let mostKept = 0;
  for (let at = 0; at < reader.sizeBytes; at += memory.length) {
    const part = Buffer.from((await reader.read(at, memory.length, memory)).buffer);
    expect(part.subarray(0, chunk.length).equals(chunk)).toBe(true);
    if (at % 64 === 0) mostKept = Math.max(mostKept, await bytesIn(cacheDirectory));
  }
  await reader.close();
  expect(mostKept).toBeGreaterThan(0);
  expect(mostKept).toBeLessThanOrEqual(32 * MB);
  let readBytes = 0;
  for await (const part of store.read("large")) readBytes += part.length;
  expect(readBytes).toBe(chunks * chunk.length);
  expect(process.memoryUsage.rss() - before).toBeLessThan(readBytes / 2);
  expect(await bucket.unfinished()).toEqual([]);
}, 60_000);

async function bytesIn(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) {
    const file = await stat(join(folder, name)).catch(() => null);
    sum += file?.size ?? 0;
  }
  return sum;
}

it("leaves no upload behind when a large blob is aborted, or the store is closed", async () => {
  const bucket = await S3Bucket.open();
  const store = await bucket.openStore();
  const [first, second] = [await store.create("a/1"), await store.create("a/2")];
  for (const writer of [first, second]) await writer.write(new Uint8Array(17 * MB));
  await until("both to begin", async () => (await bucket.unfinished()).length === 2);
  await first.abort();
  expect(await bucket.unfinished()).toEqual(["a/2"]);
  await store.close();
  expect(await bucket.unfinished()).toEqual([]);
  await expect(second.commit()).rejects.toThrow("committed or aborted before");
  await expect(store.open("a/1")).rejects.toThrow("The S3 store is closed");
  expect(await bucket.objects()).toEqual([]);
});

it("ends at its start what a dead process left unfinished, and nothing that is young", async () => {
  const bucket = await S3Bucket.open();
  const dead = await bucket.openStore();
  const writer = await dead.create("a/unfinished");
  await writer.write(new Uint8Array(17 * MB));
  await until("it to begin", async () => (await bucket.unfinished()).length === 1);
  await bucket.openStore();
  expect(await bucket.unfinished()).toEqual(["a/unfinished"]);
  await bucket.openStore({ staleUploadMs: -60_000 });
  expect(await bucket.unfinished()).toEqual([]);
  await expect(writer.commit()).rejects.toThrow(/NoSuchUpload/);
});

it.each([
  [{ encryption: "AES256" }, { "x-amz-server-side-encryption": "AES256" }],
  [
    { encryption: "aws:kms", kmsKeyId: "test-key" },
    {
      "x-amz-server-side-encryption": "aws:kms",
      "x-amz-server-side-encryption-aws-kms-key-id": "test-key",
    },
  ],
  [{ encryption: "none", kmsKeyId: "test-key" }, {}],
] as const)(
  "with %o it asks for encryption where an object begins, and only there",
  async (options, headers) => {
    const bucket = await S3Bucket.open();
    const proxy = await openProxy(bucket);
    const store = await bucket.openStore({ endpoint: proxy.url, ...options });
    await put(store, "small", "x");
    await (await store.createLog("log")).close();
    await put(store, "large", patternBytes(9 * MB));
    expect(await textOf(store, "small")).toBe("x");
    expect((await contentOf(store, "large")).equals(patternBytes(9 * MB))).toBe(true);
    const asked = (begins: boolean) =>
      proxy.requests
        .filter(({ method, query }) => {
          const isPut = method === "PUT" && !query.has("uploadId");
          return (isPut || (method === "POST" && query.has("uploads"))) === begins;
        })
        .map((request) =>
          Object.fromEntries(
            Object.entries(request.headers).filter(([name]) => name.includes("encryption")),
          ),
        );
    expect(asked(true)).toEqual([headers, headers, headers]);
    for (const other of asked(false)) expect(other).toEqual({});
  },
);

it("fetches a block once for all who want it, and again only when it is not kept", async () => {
  const bucket = await S3Bucket.open();
  const proxy = await openProxy(bucket);
  const cacheDirectory = await cacheFolder();
  const store = await bucket.openStore({ endpoint: proxy.url, cacheDirectory });
  const content = patternBytes(3 * MB);
  await put(store, "blob", content);
  const gets = () => proxy.requests.filter(({ method }) => method === "GET").length;
  const before = gets();
  const readers = await Promise.all(Array.from({ length: 5 }, () => store.open("blob")));
  const check = async () => {
    const parts = await Promise.all(
      readers.map((reader, nth) => reader.read(nth * 500_000, 500_000)),
    );
    for (const [nth, part] of parts.entries()) {
      expect(Buffer.compare(part, content.subarray(nth * 500_000, (nth + 1) * 500_000))).toBe(0);
    }
  };
  await check();
  await check();
  await until("it to be kept", async () => (await bytesIn(cacheDirectory)) === content.length);
  await check();
  expect(gets() - before).toBe(1);
  // Something else empties the folder, and then takes it away.
  for (const change of [
    async () => rm(join(cacheDirectory, (await readdir(cacheDirectory))[0] ?? "")),
    () => rm(cacheDirectory, { recursive: true }),
  ]) {
    const beforeChange = gets();
    await change();
    await until("it to be fetched again", async () => {
      await check();
      return gets() > beforeChange;
    });
  }
  await check();
});

it("never mixes a blob with the one that replaced it", async () => {
  const bucket = await S3Bucket.open();
  const store = await bucket.openStore();
  const [first, second] = [1, 2].map((value) => new Uint8Array(10 * MB).fill(value));
  await put(store, "blob", first as Uint8Array);
  const reader = await store.open("blob");
  expect((await reader.read(0, 10))[0]).toBe(1);
  await put(store, "blob", second as Uint8Array);
  expect((await reader.read(100, 10))[0]).toBe(1);
  await expect(reader.read(9 * MB, 10)).rejects.toThrow(NotFoundError);
  await expect(reader.read(3 * MB, 3 * MB)).rejects.toThrow(NotFoundError);
  expect((await contentOf(store, "blob")).every((byte) => byte === 2)).toBe(true);
});
