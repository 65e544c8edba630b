// PgBouncer, from Debian, in front of a PostgreSQL: connections are shared, one transaction at a time.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { type PostgresServer, takesConnections, unprivileged } from "./postgres-server.ts";
import { until } from "./until.ts";

export class PgBouncer implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(url: string, folder: string, process: ChildProcess) {
    this.url = url;
    this.#folder = folder;
    this.#process = process;
  }

  /** @param poolSize connections to the server, for however many clients */
  static async start(server: PostgresServer, poolSize: number): Promise<PgBouncer> {
    const folder = await mkdtemp(join(tmpdir(), "offpeak-bouncer-"));
    const port = await freePort();
    const { username } = new URL(server.url());
    await writeFile(join(folder, "users"), `"${username}" ""\n`);
    await writeFile(
      join(folder, "pgbouncer.ini"),
      `[databases]
postgres = host=127.0.0.1 port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, "users")}
pool_mode = transaction
default_pool_size = ${poolSize}
`,
    );
    const { uid, gid } = unprivileged;
    if (uid !== undefined) await chown(folder, uid, gid);
    const child = spawn("pgbouncer", [join(folder, "pgbouncer.ini")], {
      ...unprivileged,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    child.stderr?.on(
      "data",
      (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)),
    );
    const failed = new Promise<never>((_, reject) => {
      child.once("error", () =>
        reject(
          new Error("PgBouncer is missing: apt-get install -y --no-install-recommends pgbouncer"),
        ),
      );
    });
    const bouncer = new PgBouncer(
      `postgres://${username}@127.0.0.1:${port}/postgres`,
      folder,
      child,
    );
    await Promise.race([
      failed,
      until("PgBouncer to take connections", () => takesConnections(bouncer.url)),
    ]);
    return bouncer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null) {
      const exited = once(this.#process, "exit");
      this.#process.kill("SIGKILL");
      await exited;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
