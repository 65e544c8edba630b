// A real S3 server on loopback: Ceph's gateway over a store in memory, from the programs that the system has
// installed, in a directory and on ports of its own. Nothing of it outlives `stop`, nor this process.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

const run = promisify(execFile);
const PROGRAMS = ["ceph-mon", "ceph-osd", "radosgw", "ceph", "monmaptool", "radosgw-admin"];
const INSTALL = "apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd";
const KEYS = { accessKeyId: "offpeak-test", secretAccessKey: "offpeak-test-secret" };
const START_TIMEOUT_MS = 60_000;

export interface S3Access {
  /** Such as http://127.0.0.1:9000. */
  url: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export class S3Server implements AsyncDisposable {
  readonly access: S3Access;
  readonly #folder: string;
  readonly #port: number;
  readonly #monitor: string;
  /** In the order of their starts. */
  readonly #processes: { name: string; child: ChildProcess; output: () => string }[] = [];
  readonly #killAll = () => {
    for (const { child } of this.#processes) child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  };

  private constructor(folder: string, port: number, monitorPort: number) {
    this.#folder = folder;
    this.#port = port;
    this.#monitor = `v2:127.0.0.1:${monitorPort}/0`;
    this.access = { url: `http://127.0.0.1:${port}`, ...KEYS };
    process.on("exit", this.#killAll);
  }

  /** Throws what to install when the programs are missing, and what they said when they don't start. */
  static async start(): Promise<S3Server> {
    await checkPrograms();
    const folder = await mkdtemp(join(tmpdir(), "offpeak-s3-"));
    const server = new S3Server(folder, await freePort(), await freePort());
    try {
      await server.#start();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  async #start(): Promise<void> {
    const clusterId = randomUUID();
    const folders = ["mon", "osd", "rgw", "run", "log"];
    for (const folder of folders) await mkdir(join(this.#folder, folder));
    await writeFile(join(this.#folder, "ceph.conf"), this.#configuration(clusterId));
    const map = join(this.#folder, "monmap");
    await run("monmaptool", [
      "--create",
      "--addv",
      "a",
      `[${this.#monitor}]`,
      "--fsid",
      clusterId,
      map,
    ]);
    await this.#run("ceph-mon", "-i", "a", "--mkfs", "--monmap", map);
    this.#spawn("ceph-mon", "-i", "a");
    await this.#run("ceph", "-s");
    const osdId = randomUUID();
    await this.#run("ceph", "osd", "new", osdId);
    await this.#run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osdId);
    await this.#run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h");
    this.#spawn("ceph-osd", "-i", "0");
    await this.#until("the object store", async () =>
      (await this.#run("ceph", "osd", "stat")).includes("1 up"),
    );
    const { accessKeyId, secretAccessKey } = KEYS;
    const keys = ["--access-key", accessKeyId, "--secret-key", secretAccessKey];
    await this.#run(
      "radosgw-admin",
      "user",
      "create",
      "--uid",
      "t",
      "--display-name",
      "t",
      ...keys,
    );
    this.#spawn("radosgw", "-n", "client.rgw.a");
    await this.#until("the gateway", () => answers(this.access.url));
  }

  #configuration(clusterId: string): string {
    const folder = this.#folder;
    return `[global]
fsid = ${clusterId}
mon host = ${this.#monitor}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
# Without these nothing connects where nobody is authenticated.
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = ${folder}/run
log file = ${folder}/log/$name.log
admin socket = ${folder}/run/$name.asok
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
# Each of some twenty pools would take half a second.
paxos propose interval = 0.02
paxos min wait = 0.01
[mon]
mon data = ${folder}/mon
[osd]
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:${this.#port}
rgw data = ${folder}/rgw
rgw thread pool size = 64
# Encryption can be asked for without TLS, as it is here, with a key that is no secret.
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = test-key=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
`;
  }

  async #run(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await run(program, ["-c", join(this.#folder, "ceph.conf"), ...args], {
      timeout: START_TIMEOUT_MS,
    });
    return stdout;
  }

  #spawn(name: string, ...args: string[]): void {
    // In the foreground, so that it is a child of this process.
    const child = spawn(name, ["-c", join(this.#folder, "ceph.conf"), "-f", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    child.stderr?.on(
      "data",
      (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4_000)),
    );
    this.#processes.push({ name, child, output: () => output });
  }

  async #until(what: string, look: () => Promise<boolean>): Promise<void> {
    await until(
      `${what} to start`,
      () => {
        for (const { name, child, output } of this.#processes) {
          if (child.exitCode !== null) throw new Error(`${name} ended: ${output()}`);
        }
        return look();
      },
      { timeoutMs: START_TIMEOUT_MS, pauseMs: 50 },
    );
  }

  /** The gateway first, so that nothing waits for what is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#processes.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    process.off("exit", this.#killAll);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function checkPrograms(): Promise<void> {
  const found = await Promise.all(
    PROGRAMS.map((program) =>
      run("sh", ["-c", `command -v ${program}`]).then(
        () => null,
        () => program,
      ),
    ),
  );
  const missing = found.filter((program) => program !== null);
  if (missing.length === 0) return;
  throw new Error(
    `The S3 suites need an S3 server, and ${missing.join(", ")} is not installed. Run "${INSTALL}", or set ` +
      "OFFPEAK_TEST_S3_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of a server for tests.",
  );
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url).catch(() => null);
  await response?.body?.cancel();
  return response !== null;
}

/** Makes the bucket when it is not there. */
export async function makeBucket(access: S3Access, name: string): Promise<void> {
  const { url: endpoint, ...credentials } = access;
  const client = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials });
  try {
    await client.send(new CreateBucketCommand({ Bucket: name }));
  } catch (error) {
    const isThere = /^BucketAlready(?:OwnedByYou|Exists)$/.test((error as Error).name);
    if (!isThere) throw error;
  } finally {
    client.destroy();
  }
}
