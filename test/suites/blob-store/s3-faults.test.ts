// A bucket behind a network that fails: requests that are refused, cut off, answered late or twice.

import { expect, it, onTestFinished } from "vitest";
import type { BlobStore } from "../../../src/core/blob-store.ts";
import { StorageUnavailableError } from "../../../src/core/store.ts";
import { seededRandom } from "../../support/random.ts";
import { S3Bucket } from "../../support/s3-bucket.ts";
import {
  type FaultAction,
  type ProxiedRequest,
  S3FaultProxy,
} from "../../support/s3-fault-proxy.ts";
import { bytesOf, contentOf, keysOf, patternBytes, put, textOf } from "./blob-store-under-test.ts";

const MB = 1024 * 1024;

async function openBehindProxy(
  options: { inactivityTimeoutMs?: number; cacheBytes?: number } = {},
) {
  const bucket = await S3Bucket.open();
  const proxy = await S3FaultProxy.start(bucket.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const store = await bucket.openStore({ endpoint: proxy.url, ...options });
  return { bucket, proxy, store };
}

/** Does it to the first `times` requests that fit, and passes all others. */
function atFirst(
  times: number,
  fits: (request: ProxiedRequest) => boolean,
  action: FaultAction,
): (request: ProxiedRequest) => FaultAction {
  let left = times;
  return (request) => {
    if (left === 0 || !fits(request)) return "pass";
    left -= 1;
    return action;
  };
}

const isCompletion = ({ method, query }: ProxiedRequest) =>
  method === "POST" && query.has("uploadId");
const isGet = ({ method, query }: ProxiedRequest) => method === "GET" && !query.has("list-type");
const isPut = ({ method }: ProxiedRequest) => method === "PUT";
const isBulkDeletion = ({ method, query }: ProxiedRequest) =>
  method === "POST" && query.has("delete");

it("does all of it right while a tenth of the requests fail", async () => {
  const random = seededRandom("OFFPEAK_S3_SEED");
  const { proxy, store } = await openBehindProxy();
  const faults: FaultAction[] = [
    { status: 500 },
    { status: 503, code: "ServiceUnavailable" },
    "reset",
    "reset-after",
    { delayMs: 30 },
    { cutAfterBytes: 1_000 },
  ];
  proxy.decide = () =>
    random.next() < 0.1 ? (faults[Math.floor(random.next() * faults.length)] ?? "pass") : "pass";
  const message = `seed ${random.seed}`;
  const large = patternBytes(20 * MB);
  await Promise.all([
    put(store, "a/large", large),
    ...Array.from({ length: 40 }, (_, number) => put(store, `a/${number}`, `content ${number}`)),
  ]);
  const log = await store.createLog("a/log");
  const lines = Array.from({ length: 60 }, (_, number) => `line ${number}\n`);
  for (const line of lines) await log.append([bytesOf(line)]);
  expect((await contentOf(store, "a/large")).equals(large), message).toBe(true);
  expect(await textOf(store, "a/log"), message).toBe(lines.join(""));
  for (let number = 0; number < 40; number += 1) {
    expect(await textOf(store, `a/${number}`), message).toBe(`content ${number}`);
  }
  expect((await keysOf(store, "a/")).length, message).toBe(42);
  await store.deleteAll("a/");
  expect(await keysOf(store, "a/"), message).toEqual([]);
});

it.each<[string, FaultAction]>([
  ["was done, and whose answer is lost", "reset-after"],
  [
    "was done, and is answered by an error in a success",
    {
      replacement: {
        status: 200,
        body: "<Error><Code>InternalError</Code><Message>try again</Message></Error>",
      },
    },
  ],
])("a completion that %s is one", async (_what, action) => {
  const { bucket, proxy, store } = await openBehindProxy();
  const content = patternBytes(9 * MB);
  proxy.decide = atFirst(1, isCompletion, action);
  await put(store, "blob", content);
  expect((await contentOf(store, "blob")).equals(content)).toBe(true);
  expect(await bucket.unfinished()).toEqual([]);
});

it("a completion that was not done is a failure, and leaves what was there before", async () => {
  const { bucket, proxy, store } = await openBehindProxy();
  await put(store, "blob", patternBytes(9 * MB));
  proxy.decide = (request) =>
    isCompletion(request) ? { status: 400, code: "InvalidPart" } : "pass";
  const writer = await store.create("blob");
  await writer.write(new Uint8Array(9 * MB));
  await expect(writer.commit()).rejects.toThrow(/S3 could not complete blob: InvalidPart/);
  proxy.decide = () => "pass";
  expect((await contentOf(store, "blob")).equals(patternBytes(9 * MB))).toBe(true);
  expect(await bucket.unfinished()).toEqual([]);
});

it("a part that can't be put fails its blob, at the latest at commit, and leaves nothing", async () => {
  const { bucket, proxy, store } = await openBehindProxy();
  proxy.decide = (request) =>
    request.query.get("partNumber") === "1" ? { status: 403, code: "AccessDenied" } : "pass";
  const writer = await store.create("blob");
  const write = async () => {
    for (let written = 0; written < 40; written += 1) await writer.write(new Uint8Array(MB));
    await writer.commit();
  };
  await expect(write()).rejects.toThrow(/S3 could not write part 1 of blob: AccessDenied/);
  await expect(writer.commit()).rejects.toThrow("committed or aborted before");
  expect(await bucket.unfinished()).toEqual([]);
  expect(await bucket.objects()).toEqual([]);
});

it("a log takes no more after a failure, and says so each time", async () => {
  const { proxy, store } = await openBehindProxy();
  const log = await store.createLog("log");
  await log.append([bytesOf("kept")]);
  proxy.decide = (request) => (isPut(request) ? { status: 403, code: "AccessDenied" } : "pass");
  const failure = await log.append([bytesOf("lost")]).catch((error: unknown) => error);
  expect(String(failure)).toContain("S3 could not append to log: AccessDenied");
  proxy.decide = () => "pass";
  await expect(log.append([bytesOf("later")])).rejects.toBe(failure);
  expect(log.sizeBytes).toBe(4);
  expect(await textOf(store, "log")).toBe("kept");
});

it("an append whose answers are lost is there once", async () => {
  const { proxy, store } = await openBehindProxy();
  const log = await store.createLog("log");
  for (const line of ["one ", "two ", "three"]) {
    proxy.decide = atFirst(2, isPut, "reset-after");
    await log.append([bytesOf(line)]);
  }
  expect(await textOf(store, "log")).toBe("one two three");
});

it.each([0, 64 * MB])(
  "an answer that breaks off is read again, with a cache of %i bytes",
  async (cacheBytes) => {
    const { proxy, store } = await openBehindProxy({ cacheBytes });
    const content = patternBytes(6 * MB);
    await put(store, "blob", content);
    proxy.decide = atFirst(3, isGet, { cutAfterBytes: 300_000 });
    expect((await contentOf(store, "blob")).equals(content)).toBe(true);
  },
);

it("a network that says nothing is an error after a while, and not a wait for ever", async () => {
  const { proxy, store } = await openBehindProxy({ inactivityTimeoutMs: 150 });
  await put(store, "blob", "x");
  proxy.decide = atFirst(1, isGet, "hang");
  expect(await textOf(store, "blob")).toBe("x");
  const reader = await store.open("blob");
  await put(store, "blob", "y");
  const replaced = await store.open("blob");
  proxy.decide = () => "hang";
  // Of what is kept nothing is asked.
  expect(Buffer.from(await reader.read(0, 1)).toString()).toBe("x");
  for (const step of [
    () => store.open("blob"),
    () => replaced.read(0, 1),
    () => put(store, "other", "y"),
    async () => (await store.createLog("log")).close(),
  ]) {
    await expect(step()).rejects.toThrow(StorageUnavailableError);
  }
});

const many = async (store: BlobStore) => {
  await Promise.all(Array.from({ length: 20 }, (_, number) => put(store, `a/${number}`, "x")));
};

it.each([
  { status: 501, code: "NotImplemented" },
  { status: 405, code: "MethodNotAllowed" },
  { status: 400, code: "MissingContentMD5" },
])("deletes one by one where the server answers %o to many", async (action) => {
  const { proxy, store } = await openBehindProxy();
  proxy.decide = (request) => (isBulkDeletion(request) ? action : "pass");
  for (const round of [1, 2]) {
    await many(store);
    await store.deleteAll("a/");
    expect(await keysOf(store, "a/")).toEqual([]);
    expect(proxy.requests.filter(isBulkDeletion), `round ${round}`).toHaveLength(1);
  }
});

it("tries again what was not deleted with the others, and says when it can't be", async () => {
  const { proxy, store } = await openBehindProxy();
  await many(store);
  await put(store, "b/kept", "x");
  const told = proxy.requests
    .filter(({ method, path }) => method === "PUT" && path.includes("/a/"))
    .map(({ path }) => path.split("/").slice(2).join("/"))
    .map((key) =>
      key.endsWith("a/7")
        ? `<Error><Key>${key}</Key><Code>AccessDenied</Code></Error>`
        : `<Deleted><Key>${key}</Key></Deleted>`,
    );
  const body = `<DeleteResult>${told.join("")}</DeleteResult>`;
  let isRefused = true;
  proxy.decide = (request) => {
    if (isBulkDeletion(request)) return { status: 200, body };
    return isRefused && request.method === "DELETE"
      ? { status: 403, code: "AccessDenied" }
      : "pass";
  };
  await expect(store.deleteAll("a/")).rejects.toThrow(/S3 could not delete .*a\/7: AccessDenied/);
  isRefused = false;
  await store.deleteAll("b/");
  expect(await keysOf(store, "b/")).toEqual([]);
});

it("takes no answer of success for S3's that S3 would not give", async () => {
  const { proxy, store } = await openBehindProxy();
  await put(store, "files/a", "a");
  await put(store, "files/b", "b");
  const log = await store.createLog("batches/1/journals/1-1");
  const page = "<html><body>Sign in</body></html>";
  for (const body of [page, "", "<ListBucketResult></ListBucketResult>"]) {
    proxy.decide = ({ query }) => (query.has("list-type") ? { status: 200, body } : "pass");
    await expect(keysOf(store, "files/")).rejects.toThrow(/^S3 could not list/);
  }
  proxy.decide = (request) => (isPut(request) ? { status: 200, body: page } : "pass");
  await expect(put(store, "files/c", "c")).rejects.toThrow(StorageUnavailableError);
  await expect(log.append([bytesOf("record")])).rejects.toThrow(StorageUnavailableError);
  await log.close();
  proxy.decide = (request) => (isBulkDeletion(request) ? { status: 200, body: page } : "pass");
  await store.deleteAll("files/");
  proxy.decide = () => "pass";
  expect(await keysOf(store, "files/")).toEqual([]);
});
