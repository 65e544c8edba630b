// The image, as far as it goes without Docker: its steps are followed in folders, and what they install is run as a
// container would be. What the other files in deploy/ ask of a running server is asked of that one.
import { execFile } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { settings } from "../../src/config/settings.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { Container, isConfined } from "../support/deploy-container.ts";
import {
  type Image,
  buildImage,
  inside,
  readDeployFile,
  repository,
} from "../support/deploy-image.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { openWorkplace, type Workplace } from "../support/workplace.ts";

const run = promisify(execFile);
const BUILD_LIMIT_MS = 180_000;
const STOP_PATIENCE = { timeoutMs: 15_000 };
const ADMIN_KEY = "an-admin-key-for-this-test";

let place: Workplace;
let image: Image;
beforeAll(async () => {
  place = openWorkplace();
  // The image's user has to get through.
  chmodSync(place.path("."), 0o755);
  image = await buildImage(place.path("."));
}, BUILD_LIMIT_MS);
afterAll(() => place[Symbol.dispose]());

const everyFile = () =>
  readdirSync(path.join(repository, "deploy")).map((name) => [name, readDeployFile(name)] as const);

test("the image is pinned, unprivileged, and of this version", () => {
  expect(image.baseImage).toMatch(/^node:\d+-slim$/);
  expect(image.labels["org.opencontainers.image.version"]).toBe(packageJson.version);
  expect(image.labels["org.opencontainers.image.licenses"]).toBe(packageJson.license);
  expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(image.ports).toEqual([settings.port.fallback]);
  expect(image.volumes).toEqual([image.env["OFFPEAK_DATA_DIR"]]);
  // The AWS SDK asks for the home of a user who has no entry in /etc/passwd.
  expect(image.volumes).toEqual([image.env["HOME"]]);
  expect(image.stopSignal).toBe("SIGTERM");
  expect(image.workingDirectory).not.toBe(image.volumes[0]);
});

test("the image holds the package and nothing of the repository", () => {
  const installed = readdirSync(inside(image.root, "/usr/local/lib/node_modules"));
  expect(installed).toEqual([packageJson.name]);
  const content = readdirSync(
    inside(image.root, `/usr/local/lib/node_modules/${packageJson.name}`),
  );
  expect(content.toSorted()).toEqual(
    [...packageJson.files, "LICENSE", "README.md", "package.json"].toSorted(),
  );
});

test("the versions and images that other files name are this one's", () => {
  for (const [name, text] of everyFile()) {
    for (const [, version] of text.matchAll(/\boffpeak[:-](\d+\.\d+\.\d+)\b/g)) {
      expect([name, version]).toEqual([name, packageJson.version]);
    }
  }
});

test("a container without keys refuses to be reached from other machines", async () => {
  const upstream = { OFFPEAK_UPSTREAM: "http://127.0.0.1:9/v1", OFFPEAK_PORT: "0" };
  await using container = new Container(image, [...image.entrypoint, ...image.command], upstream);
  const { code, output } = await container.ended;
  expect(code).toBe(2);
  expect(output).toContain("OFFPEAK_ADMIN_KEY");
});

test("a container writes only its volume, is healthy, ready and measured, and stops when told", async () => {
  if (isConfined) {
    const probe = inside(image.root, "/etc/offpeak/probe");
    await using touch = new Container(image, ["touch", probe]);
    expect(await touch.ended).toMatchObject({ output: expect.stringContaining("Read-only") });
  }
  await using simulator = new Simulator({});
  const { baseUrl } = await simulator.start();
  const port = String(await freePort());
  const env = {
    OFFPEAK_UPSTREAM: baseUrl,
    OFFPEAK_ADMIN_KEY: ADMIN_KEY,
    OFFPEAK_HOST: "127.0.0.1",
    OFFPEAK_PORT: port,
  };
  const isHealthy = async () => {
    await using check = new Container(image, image.healthCheck, env);
    return (await check.ended).code === 0;
  };
  expect(await isHealthy()).toBe(false);

  await using container = new Container(image, [...image.entrypoint, ...image.command], env);
  const url = `http://127.0.0.1:${port}`;
  await until("the server to listen", () => {
    if (container.child.exitCode !== null) throw new Error(container.output);
    return container.output.includes(`Offpeak listens on ${url}`);
  });
  expect(await isHealthy()).toBe(true);
  if (isConfined) {
    const status = readFileSync(`/proc/${container.child.pid}/status`, "utf8");
    const [uid] = image.user.split(":");
    expect(status).toMatch(new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
  }

  await until("the server to be ready", async () => (await fetch(`${url}/readyz`)).ok);
  await expectPathsAreServed(url);
  await expectMetricsAreThere(url);

  const stopAskedMs = performance.now();
  container.child.kill("SIGTERM");
  await until("the container to stop", () => container.child.exitCode !== null, STOP_PATIENCE);
  expect(performance.now() - stopAskedMs).toBeLessThan(10_000);
  const { code, output } = await container.ended;
  expect(code, output).toBe(0);
  expect(readdirSync(inside(image.root, "/data"))).toContain("offpeak.db");
  expect(await isHealthy()).toBe(false);
});

/** Paths that probes and the balancer ask for. */
async function expectPathsAreServed(url: string): Promise<void> {
  const texts = [readDeployFile("kubernetes.yaml"), readDeployFile("Caddyfile")];
  const named = texts.flatMap((text) => [
    ...text.matchAll(
      /httpGet: \{ path: (\S+),|health_uri (\S+)|prometheus\.io\/path: (\S+)|@inside path (.*)/g,
    ),
  ]);
  const paths = new Set(
    named.flatMap((found) => found.slice(1).flatMap((text) => text?.split(" ") ?? [])),
  );
  expect([...paths].toSorted()).toEqual(["/healthz", "/metrics", "/readyz"]);
  for (const served of paths)
    expect([served, (await fetch(url + served)).status]).toEqual([served, 200]);
}

/** Metrics that autoscaling asks for. */
async function expectMetricsAreThere(url: string): Promise<void> {
  const known = await (await fetch(`${url}/metrics`)).text();
  const { 1: query = "" } = /query: (.*)/.exec(readDeployFile("keda.yaml")) ?? [];
  const named = query.match(/\boffpeak_\w+/g) ?? [];
  expect(named.length).toBeGreaterThan(0);
  for (const name of named) expect(known).toContain(`# TYPE ${name} gauge`);
}

test("the systemd unit runs the installed command, and systemd finds nothing wrong with it", async () => {
  const unit = readDeployFile("offpeak.service");
  const entries = [...unit.matchAll(/^([A-Z]\w+)=(.*)$/gm)].map(
    ([, name, value]) => [name, value] as const,
  );
  const valuesOf = (name: string) =>
    entries.filter(([key]) => key === name).map(([, value]) => value);
  expect(unit.match(/^\[\w+\]$/gm)).toEqual(["[Unit]", "[Service]", "[Install]"]);
  expect(valuesOf("ExecStart")).toEqual(["/usr/local/bin/offpeak serve"]);
  expect(valuesOf("Environment")).toEqual(
    expect.arrayContaining([
      `OFFPEAK_DATA_DIR=/var/lib/${valuesOf("StateDirectory")[0]}`,
      `HOME=/var/lib/${valuesOf("StateDirectory")[0]}`,
      "OFFPEAK_CONFIG=/etc/offpeak/offpeak.yaml",
    ]),
  );
  // A stop takes up to ten seconds; wrong settings end with 2.
  expect(Number(valuesOf("TimeoutStopSec")[0])).toBeGreaterThan(10);
  expect(valuesOf("KillMode")).toEqual(["mixed"]);
  expect(valuesOf("RestartPreventExitStatus")).toEqual(["2"]);
  expect(valuesOf("MemoryDenyWriteExecute")).toEqual([]);
  const switches = [
    "NoNewPrivileges",
    "DynamicUser",
    "PrivateTmp",
    "ProtectHome",
    "PrivateDevices",
  ];
  for (const name of switches) expect([name, valuesOf(name)]).toEqual([name, ["yes"]]);
  expect(valuesOf("ProtectSystem")).toEqual(["strict"]);

  const installed = inside(image.root, "/usr/local/bin/offpeak");
  const copy = place.path("offpeak.service");
  writeFileSync(copy, unit.replace("/usr/local/bin/offpeak", installed));
  const hasSystemd = await run("systemd-analyze", ["--version"]).then(
    () => true,
    () => false,
  );
  if (!hasSystemd) return;
  const { stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", copy]);
  expect(stdout + stderr).toBe("");
});
