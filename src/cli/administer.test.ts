import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const OFFPEAK = fileURLToPath(new URL("./offpeak.ts", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "offpeak-administer-"));
});
afterEach(() => rm(folder, { recursive: true }));

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

function offpeak(...line: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [OFFPEAK, ...line], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

async function everythingStored(): Promise<string> {
  const names = await readdir(join(folder, "offpeak-data"));
  const files = names.map((name) => readFile(join(folder, "offpeak-data", name), "latin1"));
  return (await Promise.all(files)).join("");
}

test("a key is shown once, listed without its secret, and revoked", async () => {
  const made = await offpeak("keys", "create", "--project", "team-a");
  expect(made).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^sk-offpeak-\w{16}-\w{43}\n$/),
  });
  const [id = ""] = /key_\w{16}/.exec(made.stderr) ?? [];
  const secret = made.stdout.trim().slice(-43);
  const listed = await offpeak("keys", "list");
  expect(listed.stdout).toMatch(new RegExp(`^${id} +team-a +\\S+Z +never +active$`, "m"));
  expect(listed.stdout).not.toContain(secret);
  expect(await everythingStored()).not.toContain(secret);
  expect(await offpeak("keys", "revoke", id)).toMatchObject({ code: 0 });
  expect((await offpeak("keys", "list")).stdout).toMatch(/revoked \S+Z$/m);
  const again = await offpeak("keys", "revoke", id);
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("revoked already") });
});

test("a webhook's secret is shown once, and stored in no readable form", async () => {
  const where = ["--project", "team-a", "--url", "https://hooks.example.com/offpeak"];
  const made = await offpeak("webhooks", "create", ...where, "--event", "batch.failed");
  expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^whsec_\S{44}\n$/) });
  expect(await everythingStored()).not.toContain(made.stdout.trim().slice(6));
  const [id = ""] = /whe_\w{32}/.exec(made.stderr) ?? [];
  expect((await offpeak("webhooks", "list")).stdout).toMatch(
    new RegExp(`^${id} +team-a +https://hooks.example.com/offpeak +batch.failed +`, "m"),
  );
  expect((await offpeak("webhooks", "deliveries", id)).stdout).toMatch(/^ID +EVENT +ABOUT +/);
  expect((await offpeak("webhooks", "delete", id)).code).toBe(0);
  expect((await offpeak("webhooks", "deliveries", id)).stderr).toContain(
    `No webhook endpoint found with id '${id}'.`,
  );
});

test("a webhook can be tried, with or without a server", async () => {
  let status = 204;
  const receiver = createServer((_request, response) => response.writeHead(status).end());
  await new Promise<void>((listening) => receiver.listen(0, "127.0.0.1", listening));
  const { port } = receiver.address() as AddressInfo;
  const local = "--allow-private-addresses";
  const where = ["--project", "team-a", "--url", `http://127.0.0.1:${port}/`, local];
  const [id = ""] = /whe_\w{32}/.exec((await offpeak("webhooks", "create", ...where)).stderr) ?? [];
  const tried = () => offpeak("webhooks", "test", id, local);
  expect(await tried()).toMatchObject({ code: 0, stderr: "The receiver answered 204.\n" });
  status = 500;
  expect(await tried()).toMatchObject({
    code: 1,
    stderr: "offpeak: the receiver answered 500, not 2xx.\n",
  });
  await new Promise((closed) => receiver.close(closed));
  const refused = { code: 1, stderr: expect.stringContaining("could not be reached: connect") };
  expect(await tried()).toMatchObject(refused);
});

test("the key of the secrets is its owner's alone", async () => {
  await offpeak("keys", "list");
  const { mode } = await stat(join(folder, "offpeak-data", "secret.key"));
  expect(mode & 0o777).toBe(0o600);
});

test.each([
  [["keys", "create"], 2, "required option '--project <name>' not specified"],
  [["keys", "creat"], 2, "Did you mean create?"],
  [["keys", "create", "--project", "a b"], 1, "A project is named with letters"],
  [["keys", "revoke", "key_unknown"], 1, "No API key with the id 'key_unknown'"],
  [["keys", "revoke", "sk-offpeak-x"], 1, "No API key with the id given (expected key_…)"],
  [["keys", "list", "--config", "nowhere.yaml"], 2, "nowhere.yaml: no such file."],
  [
    ["webhooks", "create", "--project", "a", "--url", "http://127.0.0.1/"],
    1,
    "allow_private_addresses",
  ],
  [
    ["webhooks", "create", "--project", "a", "--url", "ftp://a"],
    1,
    "Expected a URL such as https://",
  ],
  [
    ["webhooks", "create", "--project", "a", "--url", "https://a.b", "--event", "x"],
    2,
    "Expected one of batch.completed",
  ],
  [
    ["webhooks", "test", "webhook_unknown"],
    1,
    "No webhook endpoint found with id 'webhook_unknown'.",
  ],
] as const)("%j is refused in one line", async (line, code, message) => {
  const refused = await offpeak(...line);
  expect(refused).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
  expect(refused.stderr).not.toContain("    at ");
});

test("a server beyond loopback wants a key first, and is then not open to anybody else", async () => {
  await writeFile(
    join(folder, "offpeak.yaml"),
    "upstreams: [{ name: a, base_url: http://127.0.0.1:9 }]",
  );
  const refused = await offpeak("serve", "--host", "0.0.0.0", "--port", "0");
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("offpeak keys create --project NAME"),
  });
});
