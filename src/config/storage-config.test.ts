// Where everything is kept: what goes together, and what is refused without showing a password.
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { ConfigError } from "./config-error.ts";
import { type Config, loadConfig } from "./config.ts";

const DATABASE_URL = "postgres://offpeak:hunter2secret@db:5432/offpeak";
const shared = {
  OFFPEAK_UPSTREAM: "http://localhost:8000/v1",
  OFFPEAK_DATABASE_URL: DATABASE_URL,
  OFFPEAK_BLOB_URL: "s3://my-bucket/some/prefix",
  OFFPEAK_SECRET_KEY: "0123456789abcdef",
};

function load(
  env: Record<string, string>,
  flags: Record<string, string> = {},
  yaml?: string,
): Config {
  return loadConfig({
    flags,
    env,
    readFile: (path) => (path === "offpeak.yaml" ? yaml : undefined),
  });
}

function messageOf(...given: Parameters<typeof load>): string {
  try {
    load(...given);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("The configuration was accepted.");
}

test("without a database the data directory holds all", () => {
  const config = load({ OFFPEAK_UPSTREAM: "http://localhost:8000/v1" });
  expect([config.storage, config.role]).toEqual([undefined, "all"]);
});

test("a database and a bucket are shared", () => {
  const { storage } = load(shared);
  expect(storage).toMatchObject({ bucket: "my-bucket", prefix: "some/prefix" });
  expect(storage?.databaseUrl.reveal()).toBe(DATABASE_URL);
});

test.each([
  ["s3://my-bucket", "my-bucket", ""],
  ["s3://my-bucket/", "my-bucket", ""],
  ["s3://my.bucket-1/a_b/C.d/", "my.bucket-1", "a_b/C.d"],
])("%s is a bucket and a prefix", (url, bucket, prefix) => {
  expect(load({ ...shared, OFFPEAK_BLOB_URL: url }).storage).toMatchObject({ bucket, prefix });
});

test("a flag wins over the variable, and the variable over the file, where ${…} stands for one", () => {
  const flag = { "--database-url": "postgres://flag/db" };
  expect(load(shared, flag).storage?.databaseUrl.reveal()).toBe("postgres://flag/db");
  const { OFFPEAK_DATABASE_URL: _, ...rest } = shared;
  const yaml = "database_url: ${DB}\n";
  const inFile = load({ ...rest, DB: "postgresql://file/db" }, {}, yaml);
  expect(inFile.storage?.databaseUrl.reveal()).toBe("postgresql://file/db");
  expect(
    load({ ...shared, DB: "postgres://file/db" }, {}, yaml).storage?.databaseUrl.reveal(),
  ).toBe(DATABASE_URL);
});

test("the password is never printed", () => {
  const config = load(shared);
  expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toContain("hunter2");
});

test.each([
  ["mysql://offpeak:hunter2secret@db/offpeak", "OFFPEAK_DATABASE_URL"],
  ["offpeak:hunter2secret@db", "OFFPEAK_DATABASE_URL"],
  ["postgres://offpeak:hunter2secret@:x:/", "OFFPEAK_DATABASE_URL"],
])("%s is no database, and is not shown", (url, place) => {
  const message = messageOf({ ...shared, OFFPEAK_DATABASE_URL: url });
  expect(message).toMatch(new RegExp(`^${place}: expected a URL such as postgres://`));
  expect(message).not.toContain("hunter2");
});

test.each([
  ["gs://my-bucket"],
  ["s3://My_Bucket"],
  ["s3:///prefix"],
  ["s3://my-bucket/../x"],
  ["s3://my-bucket/a//b"],
  ["s3://my-bucket/ä"],
  ["https://s3.example.com/my-bucket"],
])("%s is no bucket", (url) => {
  expect(messageOf({ ...shared, OFFPEAK_BLOB_URL: url })).toContain(
    `blob_url: expected s3://BUCKET or s3://BUCKET/PREFIX`,
  );
});

test.each<[string, Record<string, string>, string]>([
  ["a database without a bucket", { OFFPEAK_BLOB_URL: "" }, "database_url is set without blob_url"],
  [
    "a bucket without a database",
    { OFFPEAK_DATABASE_URL: "" },
    "blob_url is set without database_url",
  ],
  ["no key for secrets", { OFFPEAK_SECRET_KEY: "" }, "secret_key is not set"],
  ["workers", { OFFPEAK_WORKERS: "2" }, "workers: with database_url, start more nodes"],
])("refused: %s", (_what, change, message) => {
  expect(messageOf({ ...shared, ...change })).toContain(message);
});

test("a role of its own needs nodes that share", () => {
  const alone = { OFFPEAK_UPSTREAM: "http://localhost:8000/v1" };
  expect(messageOf({ ...alone, OFFPEAK_ROLE: "engine" })).toContain(
    "role: engine needs a database",
  );
  expect(load({ ...shared, OFFPEAK_ROLE: "engine" }).role).toBe("engine");
});
