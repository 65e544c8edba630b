// Nodes that share a PostgreSQL and an S3 bucket, each on a host of its own, with links to the database, to S3 and
// to the simulator that can be cut one by one; with clocks that differ; and a history of all that matters.

import { mkdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { LeaseHistory } from "./lease-history.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { PostgresServer } from "./postgres-server.ts";
import { type FaultAction, type ProxiedRequest, S3FaultProxy } from "./s3-fault-proxy.ts";
import { type S3Access, makeBucket } from "./s3-server.ts";
import { SendRecorder } from "./send-recorder.ts";
import { ServerProcess, upstream } from "./server-process.ts";
import { TcpRelay } from "./tcp-relay.ts";
import type { Workplace } from "./workplace.ts";

export const LEASE_MS = 2_000;
const LINKS = ["api", "database", "s3"] as const;
type Link = (typeof LINKS)[number];

export interface ClusterOptions {
  place: Workplace;
  s3: S3Access;
  /** Origin of the simulator. */
  simulator: string;
  /** Of each node's wall clock. */
  clockSkewsMs: readonly number[];
  /** Most requests in flight, of all nodes together. */
  concurrency: number;
  decideS3: (request: ProxiedRequest) => FaultAction;
}

/** One node: its host, and its process while that lives. */
class ClusterNode {
  readonly number: number;
  readonly namespace: NetworkNamespace<Link>;
  readonly recorder: SendRecorder;
  readonly skewMs: number;
  process: ServerProcess | null = null;

  constructor(
    number: number,
    namespace: NetworkNamespace<Link>,
    recorder: SendRecorder,
    skewMs: number,
  ) {
    this.number = number;
    this.namespace = namespace;
    this.recorder = recorder;
    this.skewMs = skewMs;
  }

  /** How often its processes have logged that, those that have ended among them. */
  logged(message: string): number {
    return this.process?.logged(message).length ?? 0;
  }
}

export class NodeCluster implements AsyncDisposable {
  readonly postgres: PostgresServer;
  readonly s3: S3FaultProxy;
  readonly nodes: ClusterNode[] = [];
  history!: LeaseHistory;
  readonly #options: ClusterOptions;
  readonly #stack: AsyncDisposableStack;
  readonly #configs: Record<string, unknown>[] = [];

  private constructor(
    options: ClusterOptions,
    stack: AsyncDisposableStack,
    postgres: PostgresServer,
    s3: S3FaultProxy,
  ) {
    this.#options = options;
    this.#stack = stack;
    this.postgres = postgres;
    this.s3 = s3;
  }

  static async start(options: ClusterOptions): Promise<NodeCluster> {
    const stack = new AsyncDisposableStack();
    try {
      const postgres = stack.use(await PostgresServer.start());
      const s3 = stack.use(await S3FaultProxy.start(options.s3.url));
      await makeBucket(options.s3, "offpeak-nodes");
      const cluster = new NodeCluster(options, stack, postgres, s3);
      for (const [at, skewMs] of options.clockSkewsMs.entries()) {
        await cluster.#addNode(at + 1, skewMs);
      }
      // The first one makes the tables.
      await cluster.startNode(1);
      cluster.history = await LeaseHistory.begin(postgres);
      s3.onDone = (path, body) => cluster.history.note(path, body);
      s3.decide = options.decideS3;
      for (const { number } of cluster.nodes.slice(1)) await cluster.startNode(number);
      return cluster;
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
  }

  async #addNode(number: number, skewMs: number): Promise<void> {
    const namespace = this.#stack.use(await NetworkNamespace.create(number, LINKS));
    const database = this.#stack.use(
      await TcpRelay.start(namespace.hostAddress("database"), this.postgres.port),
    );
    const s3 = this.#stack.use(
      await TcpRelay.start(namespace.hostAddress("s3"), Number(new URL(this.s3.url).port)),
    );
    const recorder = this.#stack.use(
      await SendRecorder.start(namespace.hostAddress("api"), this.#options.simulator, (send) =>
        this.history.sends.push({ node: number, ...send }),
      ),
    );
    const node = new ClusterNode(number, namespace, recorder, skewMs);
    this.nodes.push(node);
    this.#stack.defer(async () => {
      await node.process?.[Symbol.asyncDispose]();
    });
    const databaseUrl = new URL(this.postgres.url());
    databaseUrl.host = `${namespace.hostAddress("database")}:${database.port}`;
    this.#configs.push({
      host: namespace.address("api"),
      insecure_no_auth: true,
      upstreams: [
        upstream(recorder.baseUrl, {
          models: ["simulated-model"],
          limits: { concurrency: this.#options.concurrency },
        }),
      ],
      database_url: databaseUrl.href,
      blob_url: "s3://offpeak-nodes/faults",
      s3_endpoint: `http://${namespace.hostAddress("s3")}:${s3.port}`,
      s3_region: "us-east-1",
      s3_path_style: true,
      secret_key: "a-key-of-all-nodes-for-tests",
      lease_ms: LEASE_MS,
      shard_lines: 50,
      poll_ms: 200,
      cancel_grace_ms: 500,
    });
  }

  #node(number: number): ClusterNode {
    const node = this.nodes[number - 1];
    if (!node) throw new Error(`there is no node ${number}`);
    return node;
  }

  async startNode(number: number): Promise<void> {
    const node = this.#node(number);
    const folder = this.#options.place.path(`node-${number}`);
    mkdirSync(folder, { recursive: true });
    const { accessKeyId, secretAccessKey } = this.#options.s3;
    const preload = new URL("skewed-clock.ts", import.meta.url).href;
    node.process = await ServerProcess.start({
      folder,
      config: this.#configs[number - 1]!,
      through: node.namespace.through,
      env: {
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        NODE_OPTIONS: `--import ${preload}`,
        CLOCK_SKEW_MS: String(node.skewMs),
      },
    });
  }

  async killNode(number: number): Promise<void> {
    const node = this.#node(number);
    const { process } = node;
    node.process = null;
    await process?.kill();
  }

  /** Keeps a node from running for a while, as a hypervisor or a full machine does. Answers when it ran again. */
  async suspend(number: number, forMs: number): Promise<number> {
    const { pid } = this.#node(number).process!;
    process.kill(pid, "SIGSTOP");
    await delay(forMs);
    const wokenAt = Date.now();
    process.kill(pid, "SIGCONT");
    return wokenAt;
  }

  async cut(number: number, link: Link, forMs: number): Promise<void> {
    const { namespace } = this.#node(number);
    await namespace.cut(link);
    await delay(forMs);
    await namespace.mend(link);
  }

  /** Some node that lives and is not suspended, as clients behind a load balancer get one. */
  anyProcess(random: () => number): ServerProcess | undefined {
    const living = this.nodes.flatMap(({ process }) => process ?? []);
    return living[Math.floor(random() * living.length)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
