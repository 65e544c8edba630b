// The server under measurement, as a process with a data directory of its own, and batches sent through it.
// Times of phases are those the server wrote in its database, so that a client need not ask often; a client
// that asks now and then checks them against its own clock.

import { closeSync, createReadStream, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "undici";
import { until } from "../test/support/until.ts";
import type { BenchRun } from "./bench-run.ts";
import { exchange, type Upload } from "./http-exchange.ts";
import { type Running, processorMs, startProcess } from "./processes.ts";

export interface ServerOptions {
  backendUrl: string;
  concurrency?: number;
  flags?: readonly string[];
  /** Left out: a new one, deleted at the end. */
  dataDir?: string;
}

/** Epoch milliseconds, from the database. */
interface BatchClock {
  created_at: number;
  in_progress_at: number;
  finalizing_at: number;
  completed_at: number;
}

export interface BatchTimes {
  /** Epoch milliseconds: when the plan was written. */
  plannedAtMs: number;
  planningMs: number;
  /** From `in_progress` to the last line recorded. */
  runningMs: number;
  assemblingMs: number;
  /** From create to completed. */
  totalMs: number;
  /** The server's processor time while it ran, between the two looks nearest to its beginning and end. */
  runningProcessorMs: number;
}

interface Batch {
  id: string;
  status: string;
  request_counts: { total: number; completed: number };
  errors: unknown;
}

/** A look takes the server about 0.3 ms: half a per cent of the machine. */
const LOOK_MS = 50;
const CLOCKS_AGREE_MS = 300;
const PATIENCE = { pauseMs: LOOK_MS, timeoutMs: 180_000 };

export class Server implements AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly #process: Running;
  readonly #client: Client;
  readonly #log: number;
  readonly #ownsData: boolean;

  private constructor(process: Running, dataDir: string, log: number, ownsData: boolean) {
    const url = /http:\/\/[\d.]+:\d+/.exec(process.firstLine)?.[0];
    if (!url) throw new Error(`expected the address of the server, got: ${process.firstLine}`);
    this.url = url;
    this.pid = process.pid;
    this.dataDir = dataDir;
    this.#process = process;
    this.#client = new Client(url);
    this.#log = log;
    this.#ownsData = ownsData;
  }

  static async start(run: BenchRun, options: ServerOptions): Promise<Server> {
    const { backendUrl, concurrency = 64, flags = [] } = options;
    const dataDir = options.dataDir ?? (await mkdtemp(path.join(run.directory, "data-")));
    const config = path.join(dataDir, "offpeak.yaml");
    await writeFile(
      config,
      `upstreams:\n  - { name: backend, base_url: "${backendUrl}", limits: { concurrency: ${concurrency} } }\n`,
    );
    const logFile = path.join(dataDir, "log");
    const log = openSync(logFile, "a");
    const args = ["serve", "--port", "0", "--data-dir", dataDir, "--config", config, ...flags];
    const child = await startProcess([...run.offpeak, ...args], { stderr: log }).catch(
      (error: Error) => {
        throw new Error(`${error.message}. Its log: ${readFileSync(logFile, "utf8")}`);
      },
    );
    return new Server(child, dataDir, log, options.dataDir === undefined);
  }

  async json<T>(method: "GET" | "POST", route: string, body?: unknown): Promise<T> {
    const answer = await this.#client.request({
      method,
      path: `/v1${route}`,
      ...(body !== undefined && {
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    });
    if (answer.statusCode === 200) return (await answer.body.json()) as T;
    throw new Error(
      `${method} ${route}: expected 200, got ${answer.statusCode} ${await answer.body.text()}`,
    );
  }

  /** Uploads a batch input; answers its id and the milliseconds it took. */
  async upload(upload: Upload): Promise<{ id: string; tookMs: number }> {
    const { status, text, tookMs } = await exchange(`${this.url}/v1/files`, "POST", upload);
    if (status !== 200) throw new Error(`upload: expected 200, got ${status} ${text}`);
    return { id: (JSON.parse(text) as { id: string }).id, tookMs };
  }

  async uploadFile(file: string): Promise<string> {
    const { size } = await stat(file);
    return (await this.upload({ content: createReadStream(file), sizeBytes: size })).id;
  }

  async createBatch(fileId: string): Promise<string> {
    const batch = await this.json<Batch>("POST", "/batches", {
      input_file_id: fileId,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    return batch.id;
  }

  batch(id: string): Promise<Batch> {
    return this.json<Batch>("GET", `/batches/${id}`);
  }

  /** Creates a batch over the file and waits for its end. */
  async runBatch(fileId: string): Promise<BatchTimes> {
    const startedMs = performance.now();
    const id = await this.createBatch(fileId);
    const running = { fromMs: Number.NaN, untilMs: Number.NaN };
    for (;;) {
      const { status, request_counts: counts, errors } = await this.batch(id);
      if (["failed", "expired", "cancelled"].includes(status)) {
        throw new Error(`the batch ended as ${status}: ${JSON.stringify(errors)}`);
      }
      if (status === "validating") running.fromMs = processorMs(this.pid);
      if (status === "in_progress") running.untilMs = processorMs(this.pid);
      if (status === "completed") {
        const times = this.#times(id, performance.now() - startedMs);
        if (counts.completed === counts.total) {
          return { ...times, runningProcessorMs: running.untilMs - running.fromMs };
        }
        throw new Error(`${counts.total - counts.completed} of ${counts.total} lines failed`);
      }
      await delay(LOOK_MS);
    }
  }

  #times(id: string, seenMs: number): Omit<BatchTimes, "runningProcessorMs"> {
    const clock = this.#clockOf(id);
    const totalMs = clock.completed_at - clock.created_at;
    if (Math.abs(seenMs - totalMs) > LOOK_MS + CLOCKS_AGREE_MS) {
      throw new Error(
        `the server says that the batch took ${totalMs} ms, its client saw ${seenMs} ms`,
      );
    }
    return {
      plannedAtMs: clock.in_progress_at,
      planningMs: clock.in_progress_at - clock.created_at,
      runningMs: clock.finalizing_at - clock.in_progress_at,
      assemblingMs: clock.completed_at - clock.finalizing_at,
      totalMs,
    };
  }

  /** Waits until so many batches have the status, without asking the server. */
  async untilBatches(status: string, count: number): Promise<void> {
    const database = this.#openDatabase();
    const query = database.prepare("select count(*) as batches from batches where status = ?");
    const isReached = () => Number(query.get(status)?.["batches"]) >= count;
    await until(`${count} batches ${status}`, isReached, PATIENCE);
    database.close();
  }

  #clockOf(id: string): BatchClock {
    const database = this.#openDatabase();
    const columns = "created_at, in_progress_at, finalizing_at, completed_at";
    const row = database.prepare(`select ${columns} from batches where id = ?`).get(id);
    database.close();
    return { ...row } as unknown as BatchClock;
  }

  #openDatabase(): DatabaseSync {
    return new DatabaseSync(path.join(this.dataDir, "offpeak.db"), { readOnly: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
    await this.#process[Symbol.asyncDispose]();
    closeSync(this.#log);
    if (this.#ownsData) await rm(this.dataDir, { recursive: true });
  }
}
