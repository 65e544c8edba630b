import { beforeEach, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { type Store, StorageFullError } from "../core/store.ts";
import { type Log, createLog } from "../observability/log.ts";
import { openSqliteStore } from "../storage/sql/sqlite.ts";
import { ApiKeys } from "./api-keys.ts";

const ADMIN_KEY = "an-admin-key-of-some-length";

let clock: FakeClock;
let logged: string[];
let log: Log;
let store: Store;
let keys: ApiKeys;

beforeEach(async () => {
  clock = new FakeClock();
  logged = [];
  log = createLog("info", { write: (line) => logged.push(line) });
  store = await openSqliteStore({ path: ":memory:", clock });
  keys = new ApiKeys({ keys: store.keys, clock, log, adminKey: undefined });
  return () => store.close();
});

test("a server is open until it has had a key, and never again", async () => {
  expect(await keys.isOpen()).toBe(true);
  const { apiKey } = await keys.create("team-a");
  expect(await keys.isOpen()).toBe(false);
  await keys.revoke(apiKey.id);
  expect(await keys.isOpen()).toBe(false);
});

test("a key that another process made closes the server too", async () => {
  expect(await keys.isOpen()).toBe(true);
  await new ApiKeys({ keys: store.keys, clock, log, adminKey: undefined }).create("team-a");
  expect(await keys.isOpen()).toBe(false);
});

test("a server with an admin key was never open", async () => {
  const administered = new ApiKeys({ keys: store.keys, clock, log, adminKey: ADMIN_KEY });
  expect(await administered.isOpen()).toBe(false);
  expect(await administered.identify(ADMIN_KEY)).toEqual({ kind: "admin" });
});

test("a key opens its own project", async () => {
  const [one, other] = [await keys.create("one"), await keys.create("other")];
  expect(await keys.identify(one.key)).toEqual({ kind: "project", projectId: "one" });
  expect(await keys.identify(other.key)).toEqual({ kind: "project", projectId: "other" });
});

test("what is stored is no key, and not the hash of the whole one", async () => {
  const { apiKey, key } = await keys.create("one");
  const stored = await store.keys.find(apiKey.id);
  expect(stored?.secretHash).toMatch(/^[0-9a-f]{64}$/);
  const secret = key.split("-").at(-1) as string;
  expect(secret).toHaveLength(43);
  expect(JSON.stringify(stored)).not.toContain(secret);
});

test.each([
  ["another secret", (key: string) => key.replace(/.$/, (last) => (last === "a" ? "b" : "a"))],
  ["another id", (key: string) => key.replace(/offpeak-.{4}/, "offpeak-0000")],
  ["no secret", (key: string) => key.replace(/-[^-]*$/, "")],
  ["more behind it", (key: string) => `${key}x`],
  ["another spelling", (key: string) => key.toUpperCase()],
  ["a key of somebody else's", () => "sk-proj-abcdefghijklmnop"],
  ["nothing in it", () => ""],
])("%s is refused without being shown whole", async (_name, change) => {
  const { key } = await keys.create("one");
  const wrong = change(key);
  const refused = keys.identify(wrong);
  await expect(refused).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
  await expect(refused).rejects.toThrow(/^Incorrect API key provided: .{0,7}\*\*\*.{0,4}\. /);
});

test("a revoked key is refused from then on", async () => {
  const { apiKey, key } = await keys.create("one");
  await keys.identify(key);
  await keys.revoke(apiKey.id);
  await expect(keys.identify(key)).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
  await expect(keys.revoke(apiKey.id)).rejects.toMatchObject({ status: 404, param: "id" });
});

test("no key at all is refused in other words", async () => {
  await keys.create("one");
  await expect(keys.identify(undefined)).rejects.toMatchObject({ status: 401, code: null });
});

test("the last use is noted, at most once a minute", async () => {
  const { apiKey, key } = await keys.create("one");
  const lastUse = async () => (await store.keys.find(apiKey.id))?.key.lastUsedAt;
  expect(await lastUse()).toBeNull();
  const firstUse = clock.now();
  await keys.identify(key);
  clock.pass(59_999);
  await keys.identify(key);
  expect(await lastUse()).toBe(firstUse);
  clock.pass(1);
  await keys.identify(key);
  expect(await lastUse()).toBe(firstUse + 60_000);
});

test.each(["", "a b", "../x", "-x", "x".repeat(65)])("%j names no project", async (name) => {
  await expect(keys.create(name)).rejects.toMatchObject({ status: 400, param: "project" });
});

test("a use that can't be noted is no reason to refuse it", async () => {
  const { key } = await keys.create("one");
  vi.spyOn(store.keys, "markUsed").mockRejectedValue(new StorageFullError("full"));
  expect(await keys.identify(key)).toEqual({ kind: "project", projectId: "one" });
  expect(logged.join("")).toContain("could not note the use of an API key");
  expect(logged.join("")).not.toContain(key.slice(-20));
});
