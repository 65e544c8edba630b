// The files for Docker Compose, held to what they promise: nothing starts without secrets, every container is confined,
// what they name is there, and the nodes get a configuration that Offpeak takes.
import { existsSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../src/config/config.ts";
import { settings } from "../../src/config/settings.ts";
import { readStages } from "../support/deploy-dockerfile.ts";
import { readDeployFile, repository } from "../support/deploy-image.ts";

interface Service {
  image: string;
  build?: { context: string; dockerfile: string };
  environment?: Record<string, string>;
  configs?: { source: string; target: string }[];
  volumes?: string[];
  networks: string[];
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  stop_grace_period: string;
  [more: string]: unknown;
}

interface Compose {
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean }>;
  volumes: Record<string, object>;
  configs: Record<string, { file: string }>;
  [extension: string]: unknown;
}

const text = readDeployFile("compose.yaml");
const compose = parse(text, { merge: true }) as Compose;
const services = Object.entries(compose.services);
const nodes = services.filter(([name]) => name.startsWith("node-"));

/** Names and values of .env.example. */
const example = new Map(
  [...readDeployFile(".env.example").matchAll(/^(\w+)=(.*)$/gm)].map(
    ([, name = "", value = ""]) => [name, value] as const,
  ),
);

const filled: Record<string, string> = {
  POSTGRES_PASSWORD: "0123456789abcdef",
  S3_ACCESS_KEY_ID: `GK${"0".repeat(24)}`,
  S3_SECRET_ACCESS_KEY: "0".repeat(64),
  GARAGE_RPC_SECRET: "0".repeat(64),
  OFFPEAK_SECRET_KEY: "0".repeat(64),
  OFFPEAK_ADMIN_KEY: "0".repeat(64),
  OFFPEAK_UPSTREAM: "http://host.docker.internal:8000/v1",
};

/** As Compose does, with the values of an .env file. */
function interpolate(value: string, env: Readonly<Record<string, string>>): string {
  return value.replaceAll(
    /\$\{(\w+)(:[?-])([^}]*)\}/g,
    (_, name: string, kind: string, rest: string) => {
      const given = env[name];
      if (given) return given;
      if (kind === ":-") return rest;
      throw new Error(`${name} ${rest}`);
    },
  );
}

function environmentOf({ environment = {} }: Service, env = filled): Record<string, string> {
  const entries = Object.entries(environment).map(([name, value]) => [
    name,
    interpolate(value, env),
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

test("nothing else than Compose knows is in the file", () => {
  const known = ["name", "services", "networks", "volumes", "configs"];
  const top = Object.keys(compose).filter((key) => !key.startsWith("x-"));
  expect(top.toSorted()).toEqual(known.toSorted());
  const serviceKeys =
    "restart read_only cap_drop cap_add security_opt logging image build environment command configs ports volumes " +
    "tmpfs networks extra_hosts mem_limit shm_size user stop_grace_period healthcheck depends_on";
  for (const [name, service] of services) {
    const unknown = Object.keys(service).filter((key) => !serviceKeys.split(" ").includes(key));
    expect([name, unknown]).toEqual([name, []]);
  }
});

test("every value that is needed is in .env.example, without a default", () => {
  const needed = new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name = ""]) => name));
  expect([...example.keys()].toSorted()).toEqual([...needed].toSorted());
  expect(Object.keys(filled).toSorted()).toEqual([...needed].toSorted());
  expect(new Set(example.values())).toEqual(new Set([""]));
  // Every secret of a service is one of them.
  for (const [, { environment = {} }] of services) {
    for (const [name, value] of Object.entries(environment)) {
      if (/KEY|SECRET|PASSWORD/.test(name) && name !== "OFFPEAK_UPSTREAM_API_KEY") {
        expect([name, value]).toEqual([name, expect.stringMatching(/^\$\{\w+:\?/)]);
      }
    }
  }
});

test.each(Object.keys(filled))("nothing starts without %s", (name) => {
  const env = { ...filled, [name]: "" };
  expect(() => services.map(([, service]) => environmentOf(service, env))).toThrow(name);
});

test("every container is confined, watched, and of a pinned image", () => {
  const image = readStages(readDeployFile("Dockerfile")).at(-1);
  const isWatched = image?.steps.some(({ keyword }) => keyword === "HEALTHCHECK");
  for (const [name, service] of services) {
    expect([name, service]).toEqual([
      name,
      expect.objectContaining({
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
        restart: "unless-stopped",
        image: expect.stringMatching(/^[a-z0-9/-]+:v?\d[\w.-]*$/),
        stop_grace_period: expect.stringMatching(/^\d+s$/),
      }),
    ]);
    expect([name, service.healthcheck !== undefined || (service.build && isWatched)]).toEqual([
      name,
      true,
    ]);
  }
});

test("what services name is there", () => {
  const usedVolumes = new Set<string>();
  for (const [
    ,
    { build, networks, volumes = [], configs = [], depends_on: others = {} },
  ] of services) {
    for (const network of networks) expect(Object.keys(compose.networks)).toContain(network);
    for (const volume of volumes) usedVolumes.add(volume.split(":")[0] ?? "");
    for (const { source } of configs) {
      const { file = "" } = compose.configs[source] ?? {};
      expect(existsSync(path.join(repository, "deploy", file))).toBe(true);
    }
    for (const [other, { condition }] of Object.entries(others)) {
      expect(Object.keys(compose.services)).toContain(other);
      expect(condition).toBe("service_healthy");
    }
    if (build) {
      expect(path.join(repository, "deploy", build.context)).toBe(repository);
      expect(existsSync(path.join(repository, build.dockerfile))).toBe(true);
    }
  }
  expect([...usedVolumes].toSorted()).toEqual(Object.keys(compose.volumes).toSorted());
});

test("nodes get a configuration that is taken, and share what they must", () => {
  expect(nodes.length).toBe(2);
  const dataVolumes = nodes.map(([, { volumes = [] }]) => volumes.join(" "));
  expect(new Set(dataVolumes).size).toBe(2);
  const imageEnv = { OFFPEAK_HOST: "0.0.0.0", OFFPEAK_DATA_DIR: "/data" };
  for (const [name, service] of nodes) {
    expect(service.volumes).toEqual([`${name}:/data`]);
    expect(service.stop_grace_period).toBe("15s");
    const env: Record<string, string> = { ...imageEnv, ...environmentOf(service) };
    const config = loadConfig({ flags: {}, env, readFile: () => undefined });
    expect(config).toMatchObject({
      role: "all",
      s3PathStyle: true,
      storage: { bucket: "offpeak", prefix: "" },
      upstreams: [{ baseUrls: [filled["OFFPEAK_UPSTREAM"]] }],
    });
    expect(env["OFFPEAK_PORT"]).toBeUndefined();
  }
});

test("nodes find the database and the bucket where those services are", () => {
  const { postgres, s3 } = compose.services;
  const env = environmentOf(nodes[0]![1]);
  const database = new URL(env["OFFPEAK_DATABASE_URL"]!);
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = environmentOf(postgres!);
  expect([database.hostname, database.username, database.password, database.pathname]).toEqual([
    "postgres",
    POSTGRES_USER,
    POSTGRES_PASSWORD,
    `/${POSTGRES_DB}`,
  ]);
  const garage = environmentOf(s3!);
  const toml = readDeployFile("garage.toml");
  const { hostname, port } = new URL(env["OFFPEAK_S3_ENDPOINT"]!);
  expect(hostname).toBe("s3");
  expect(toml).toContain(`api_bind_addr = "0.0.0.0:${port}"`);
  expect(toml).toContain(`s3_region = "${env["OFFPEAK_S3_REGION"]}"`);
  expect(env["OFFPEAK_BLOB_URL"]).toBe(`s3://${garage["GARAGE_DEFAULT_BUCKET"]}`);
  expect(env["AWS_ACCESS_KEY_ID"]).toBe(garage["GARAGE_DEFAULT_ACCESS_KEY"]);
  expect(env["AWS_SECRET_ACCESS_KEY"]).toBe(garage["GARAGE_DEFAULT_SECRET_KEY"]);
  for (const [, folder] of toml.matchAll(/^\w+_dir = "(.*)"$/gm)) {
    expect(s3!.volumes?.map((volume) => volume.split(":")[1])).toContain(folder);
  }
  expect(toml).toMatch(/^metadata_fsync = true$/m);
  expect(toml).toMatch(/^data_fsync = true$/m);
});

test("only the balancer is published, and it has every node and no way to what is stored", () => {
  const published = services.filter(([, { ports = [] }]) => ports.length > 0);
  expect(published.map(([name]) => name)).toEqual(["balancer"]);
  const [, balancer] = published[0]!;
  const port = settings.port.fallback;
  expect(balancer.ports?.map((item) => interpolate(item, {}))).toEqual([`127.0.0.1:${port}:8080`]);
  expect(balancer.networks).toEqual(["front"]);
  expect(compose.networks["storage"]).toEqual({ internal: true });
  const caddyfile = readDeployFile("Caddyfile");
  expect(caddyfile).toMatch(/^http:\/\/:8080 \{$/m);
  const { 1: targets = "" } = /reverse_proxy (.*) \{/.exec(caddyfile) ?? [];
  expect(targets.split(" ")).toEqual(nodes.map(([name]) => `${name}:${port}`));
  expect(Object.keys(balancer.depends_on ?? {})).toEqual(nodes.map(([name]) => name));
  // Requests and answers are not collected before they are passed on, and have no limit.
  expect(caddyfile).toContain("flush_interval -1");
  expect(caddyfile).not.toMatch(/request_buffers|response_buffers|request_body|max_size/);
});
