// A server to throw nonsense at: `offpeak serve` with keys, before the simulator. Every answer must be
// one that the API may give, and whatever was sent, the server must be the same one afterwards.
import OpenAI from "openai";
import { expect } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { type RawReply, exchange } from "./raw-exchange.ts";
import { type Answer, type RawRequest, json, send } from "./raw-http.ts";
import { ServerProcess, upstream } from "./server-process.ts";
import { until } from "./until.ts";
import { type Workplace, openWorkplace } from "./workplace.ts";

const ADMIN_KEY = "an-admin-key-for-tests-only";
const PROJECT = "fuzz";
const MB = 1_000_000;
const MOST_RESIDENT_BYTES = 500 * MB;
/** Far more than any answer takes, on a machine that is busy with other things too. */
const LONGEST_ANSWER_MS = 20_000;
const SENT_AT_ONCE = 8;

export class FuzzedServer implements AsyncDisposable {
  /** The official SDK with a key of the project. */
  readonly openai: OpenAI;
  readonly #server: ServerProcess;
  readonly #simulator: Simulator;
  readonly #place: Workplace;
  readonly #key: string;
  readonly #startedAt: number;

  private constructor(parts: {
    server: ServerProcess;
    simulator: Simulator;
    place: Workplace;
    key: string;
    startedAt: number;
  }) {
    this.#server = parts.server;
    this.#simulator = parts.simulator;
    this.#place = parts.place;
    this.#key = parts.key;
    this.#startedAt = parts.startedAt;
    this.openai = new OpenAI({ baseURL: `${this.url}/v1`, apiKey: this.#key, maxRetries: 0 });
  }

  static async start(): Promise<FuzzedServer> {
    const place = openWorkplace();
    const simulator = new Simulator();
    const { baseUrl } = await simulator.start();
    const config = {
      upstreams: [upstream(baseUrl)],
      admin_key: ADMIN_KEY,
      allow_private_addresses: true,
    };
    const server = await ServerProcess.start({ folder: place.path("."), config });
    await until("the server to know its models", async () => (await server.readiness()).ready);
    const authorization = `Bearer ${ADMIN_KEY}`;
    const { body, headers } = json({ project: PROJECT });
    const made = await send(server.url, "/admin/v1/keys", {
      method: "POST",
      headers: { ...headers, authorization },
      ...(body !== undefined && { body }),
    });
    const { key } = made.json as { key: string };
    const startedAt = await startOf(server);
    return new FuzzedServer({ server, simulator, place, key, startedAt });
  }

  /** Without `/v1`. */
  get url(): string {
    return this.#server.url;
  }

  /** The value of the header with which a path is asked: the administrator's or the project's. */
  authorization(path: string): string {
    return `Bearer ${path.startsWith("/admin") ? ADMIN_KEY : this.#key}`;
  }

  /** Sends a request with the right key. Its answer may be any but a fault. */
  async ask(path: string, request: RawRequest = {}, hint = path): Promise<Answer> {
    const headers = { authorization: this.authorization(path), ...request.headers };
    const answer = await inTime(hint, send(this.url, path, { ...request, headers }));
    expectAllowed(answer, hint);
    return answer;
  }

  /**
   * Sends bytes as they are, which need not be HTTP. What comes back, if anything does, may be any answer
   * but a fault.
   */
  async tell(bytes: string | Uint8Array, hint: string): Promise<RawReply | undefined> {
    const reply = await inTime(hint, exchange(this.url, bytes));
    if (reply !== undefined) expectAllowed(reply, hint);
    return reply;
  }

  /** Runs `attack` on each of the cases, several at a time. */
  async each<T>(cases: Iterable<T>, attack: (one: T) => Promise<void>): Promise<void> {
    const left = cases[Symbol.iterator]();
    const attackInTurn = async () => {
      for (let next = left.next(); !next.done; next = left.next()) await attack(next.value);
    };
    await Promise.all(Array.from({ length: SENT_AT_ONCE }, attackInTurn));
  }

  /** It is the process that was started, it answers, it had no fault since the last look, and it did not grow. */
  async expectUnharmed(): Promise<void> {
    await expectUnharmed(this.#server, this.#startedAt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const residentBytes = await this.#server.peakResidentBytes();
    console.info(`peak resident memory ${Math.round(residentBytes / MB)} MB`);
    await this.#server[Symbol.asyncDispose]();
    await this.#simulator.stop();
    this.#place[Symbol.dispose]();
  }
}

/** When the process started, as it says itself. */
async function startOf(server: ServerProcess): Promise<number> {
  const [sample] = await server.metric("process_start_time_seconds");
  if (sample === undefined) throw new Error("the metrics should say when the process started");
  return sample.value;
}

async function expectUnharmed(server: ServerProcess, startedAt: number): Promise<void> {
  expect((await send(server.url, "/healthz")).status).toBe(200);
  expect(await startOf(server)).toBe(startedAt);
  const faults = server.log
    .splice(0)
    .filter(({ level, status }) => ["error", "fatal"].includes(level) || Number(status) >= 500);
  expect(faults).toEqual([]);
  const residentBytes = await server.peakResidentBytes();
  expect(residentBytes).toBeLessThan(MOST_RESIDENT_BYTES);
}

/** A success, or a refusal in the envelope. */
function expectAllowed(
  { status, headers, json: body, text }: Pick<Answer, "status" | "headers" | "json" | "text">,
  hint: string,
): void {
  const told = `${status} to ${hint}: ${text.slice(0, 300)}`;
  expect(status, told).toBeGreaterThanOrEqual(200);
  expect(status, told).toBeLessThan(500);
  if (status < 400) return;
  expect(headers["content-type"], told).toBe("application/json; charset=utf-8");
  expect(body, told).toEqual({
    error: {
      message: expect.stringMatching(/\S/),
      type: expect.stringMatching(/^\w+$/),
      param: expect.toSatisfy(isTextOrNull),
      code: expect.toSatisfy(isTextOrNull),
    },
  });
  expect(text.isWellFormed(), told).toBe(true);
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === "string";
}

/** Throws when there is no answer in time: then the server hangs. */
async function inTime<T>(hint: string, answer: Promise<T>): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(new Error(`no answer in ${LONGEST_ANSWER_MS} ms to ${hint}`));
  const timer = setTimeout(giveUp, LONGEST_ANSWER_MS);
  try {
    return await Promise.race([answer, never]);
  } catch (error) {
    throw new Error(`${(error as Error).message}, after ${hint}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
