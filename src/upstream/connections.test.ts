// The connections of an upstream: when they are used again, when they are not, and what becomes of a
// request whose connection is taken away.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import {
  answer,
  postRequest,
  type Script,
  ScriptedBackend,
} from "../../test/support/scripted-backend.ts";
import type { UpstreamCall, UpstreamOutcome } from "../core/upstream.ts";
import { Simulator } from "../simulator/simulator.ts";
import { HttpUpstream, type HttpUpstreamOptions } from "./http-upstream.ts";

const KEY = "sk-very-secret";
const TIMEOUT_MS = 2_000;
const LIMIT_BYTES = 10_000;

/** A request on its way, held to the contract: one outcome, not before `send` has returned. */
class Sent {
  readonly outcome: Promise<UpstreamOutcome>;
  readonly outcomes: UpstreamOutcome[] = [];
  readonly call: UpstreamCall;
  isEarly = false;

  constructor(upstream: HttpUpstream, body: string | Uint8Array, after?: () => void) {
    let hasReturned = false;
    let resolve: (outcome: UpstreamOutcome) => void;
    this.outcome = new Promise((done) => (resolve = done));
    const request = postRequest(body, { requestId: `req_${sent.length + 1}` });
    this.call = upstream.send(request, (outcome) => {
      this.isEarly ||= !hasReturned;
      this.outcomes.push(outcome);
      after?.();
      resolve(outcome);
    });
    hasReturned = true;
    sent.push(this);
  }

  get isOpen(): boolean {
    return this.outcomes.length === 0;
  }
}

let clock: FakeClock;
let cleanup: AsyncDisposableStack;
const sent: Sent[] = [];

beforeEach(() => {
  // Nothing but the check for timeouts, which tests bring about themselves.
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  clock = new FakeClock();
  cleanup = new AsyncDisposableStack();
});

afterEach(async () => {
  await cleanup.disposeAsync();
  const timers = vi.getTimerCount();
  vi.useRealTimers();
  for (const { outcomes, isEarly } of sent.splice(0)) {
    if (outcomes.length !== 1 || isEarly) throw new Error("a request had not one outcome in time");
  }
  if (timers > 0) throw new Error("a timer is left");
});

async function backendWith(script: Script = {}): Promise<ScriptedBackend> {
  const backend = await ScriptedBackend.start(script);
  cleanup.use(backend);
  return backend;
}

function upstreamAt(
  backends: readonly (ScriptedBackend | string)[],
  options: Partial<HttpUpstreamOptions> = {},
): HttpUpstream {
  const upstream = new HttpUpstream({
    name: "gpu",
    baseUrls: backends.map((at) => (typeof at === "string" ? at : at.baseUrl)),
    apiKey: KEY,
    models: null,
    endpoints: ["/v1/embeddings"],
    attachments: "multipart",
    requestTimeoutMs: TIMEOUT_MS,
    answerSizeBytes: LIMIT_BYTES,
    clock,
    ...options,
  });
  cleanup.defer(() => upstream.close());
  return upstream;
}

/** Lets the request timeout of everything that was sent so far run out. */
function runOutOfTime(): void {
  clock.pass(TIMEOUT_MS);
  vi.advanceTimersByTime(250);
}

function bodyOf(outcome: UpstreamOutcome): string {
  return outcome.kind === "answer" ? Buffer.from(outcome.body).toString() : `(${outcome.kind})`;
}

const wait = { timeout: 5_000, interval: 2 };
const echo: Script = { onPost: ({ response, body }) => answer(response, 200, body) };

describe("an answer", () => {
  it("may come before the body of the request was read", async () => {
    const backend = await backendWith({
      onHead: (_request, response) => {
        answer(response, 413, '{"error":"too large"}');
        return true;
      },
    });
    const upstream = upstreamAt([backend]);
    const { outcome } = new Sent(upstream, Buffer.alloc(8 * 1024 * 1024, " "));
    expect(await outcome).toMatchObject({ kind: "answer", status: 413 });
    backend.script = echo;
    expect(bodyOf(await new Sent(upstream, "[1]").outcome)).toBe("[1]");
  });

  it("comes from the simulator", async () => {
    const simulator = new Simulator({ models: ["m"], apiKey: KEY });
    const { baseUrl } = await simulator.start();
    cleanup.use(simulator);
    const upstream = upstreamAt([baseUrl]);
    const { outcome } = new Sent(upstream, '{"model":"m","input":"hello"}');
    expect(await outcome).toMatchObject({ kind: "answer", status: 200 });
    expect(JSON.parse(bodyOf(await outcome))).toMatchObject({ object: "list", model: "m" });
    expect(await upstream.discover()).toEqual({ ok: true, models: ["m"] });
  });
});

describe("a connection that the backend closed between two requests", () => {
  it("is replaced without a word when that is known", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    expect(bodyOf(await new Sent(upstream, "[1]").outcome)).toBe("[1]");
    backend.cutAll();
    await vi.waitFor(() => expect(backend.open).toBe(0), wait);
    expect(bodyOf(await new Sent(upstream, "[2]").outcome)).toBe("[2]");
    expect(backend.connections).toBe(2);
  });

  it("is at worst cut when the news is still on its way: no death, and not twice", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    for (let times = 0; times < 20; times++) {
      const first = await new Sent(upstream, "[1]").outcome;
      if (first.kind !== "answer") {
        expect(first).toMatchObject({ kind: "cut", upstreamDied: false });
        expect(bodyOf(await new Sent(upstream, "[2]").outcome)).toBe("[2]");
      }
      backend.cutAll();
    }
  });

  it("is replaced when the backend says beforehand that it will close", async () => {
    const backend = await backendWith({
      onPost: ({ response, body }) => answer(response, 200, body, { connection: "close" }),
    });
    const upstream = upstreamAt([backend]);
    for (let times = 0; times < 5; times++) {
      expect(bodyOf(await new Sent(upstream, `[${times}]`).outcome)).toBe(`[${times}]`);
    }
  });

  it("is cut, and no death, when the request was already on it", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    await new Sent(upstream, "[1]").outcome;
    backend.script = {
      onHead: (request) => {
        request.socket.destroy();
        return true;
      },
    };
    const { outcome } = new Sent(upstream, "[2]");
    expect(await outcome).toMatchObject({ kind: "cut", upstreamDied: false });
    backend.script = echo;
    expect(bodyOf(await new Sent(upstream, "[3]").outcome)).toBe("[3]");
  });
});

describe("the request timeout", () => {
  it("ends a request that is not even connected", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    const { outcome } = new Sent(upstream, "{}");
    runOutOfTime();
    expect(await outcome).toMatchObject({ kind: "timeout" });
    expect(bodyOf(await new Sent(upstream, "[1]").outcome)).toBe("[1]");
  });

  it("counts for each request from its own start", async () => {
    const backend = await backendWith();
    const upstream = upstreamAt([backend]);
    const early = new Sent(upstream, "{}");
    clock.pass(TIMEOUT_MS / 2);
    const late = new Sent(upstream, "{}");
    clock.pass(TIMEOUT_MS / 2);
    vi.advanceTimersByTime(250);
    expect([early.isOpen, late.isOpen]).toEqual([false, true]);
    clock.pass(TIMEOUT_MS / 2);
    vi.advanceTimersByTime(250);
    expect(late.isOpen).toBe(false);
  });

  it.each(["connecting", "waiting"])(
    "gives no doomed connection to the request that follows at once (%s)",
    async (state) => {
      const backend = await backendWith();
      const upstream = upstreamAt([backend]);
      let next: Sent | undefined;
      void new Sent(upstream, "[1]", () => (next = new Sent(upstream, "[2]")));
      if (state === "waiting") await backend.post();
      runOutOfTime();
      backend.script = echo;
      expect(bodyOf(await next!.outcome)).toBe("[2]");
    },
  );
});

describe("an answer that is too large", () => {
  it.each(["with", "without"])(
    "is dropped, and its connection closed (%s a length)",
    async (how) => {
      const backend = await backendWith();
      const upstream = upstreamAt([backend]);
      const { outcome } = new Sent(upstream, "{}");
      const { response, socket } = await backend.post();
      const headers = how === "with" ? { "content-length": "1000000" } : {};
      response.writeHead(200, headers).write("x".repeat(LIMIT_BYTES + 1));
      expect(await outcome).toEqual({ kind: "oversized", limitBytes: LIMIT_BYTES });
      await vi.waitFor(() => expect(socket.destroyed).toBe(true), wait);
      backend.script = echo;
      expect(bodyOf(await new Sent(upstream, "[1]").outcome)).toBe("[1]");
    },
  );

  it("is one byte more than allowed", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    const allowed = "x".repeat(LIMIT_BYTES);
    expect(bodyOf(await new Sent(upstream, allowed).outcome)).toBe(allowed);
    expect(await new Sent(upstream, `${allowed}x`).outcome).toMatchObject({ kind: "oversized" });
  });
});

describe("abort", () => {
  it("ends a request that is connecting; later ones are not harmed", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    const one = new Sent(upstream, "[1]");
    one.call.abort();
    expect(one.outcomes).toEqual([{ kind: "aborted" }]);
    for (const body of ["[2]", "[3]"]) {
      expect(bodyOf(await new Sent(upstream, body).outcome)).toBe(body);
    }
    expect(backend.received.map(({ body }) => body)).toEqual(["[2]", "[3]"]);
  });

  it("ends a request in the middle of its answer", async () => {
    const backend = await backendWith();
    const one = new Sent(upstreamAt([backend]), "{}");
    const { response, socket } = await backend.post();
    response.writeHead(200).write("{");
    one.call.abort();
    expect(await one.outcome).toEqual({ kind: "aborted" });
    await vi.waitFor(() => expect(socket.destroyed).toBe(true), wait);
  });

  it("after the outcome does nothing, not even to the connection", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    const one = new Sent(upstream, "[1]");
    await one.outcome;
    const next = new Sent(upstream, "[2]");
    one.call.abort();
    expect(bodyOf(await next.outcome)).toBe("[2]");
    expect(backend.connections).toBe(1);
  });

  it("within the outcome's own call does nothing", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    const one: Sent = new Sent(upstream, "[1]", () => one.call.abort());
    expect(bodyOf(await one.outcome)).toBe("[1]");
  });
});

describe("a replica", () => {
  it("that died is avoided for a while", async () => {
    const [first, second] = [await backendWith(), await backendWith(echo)];
    const upstream = upstreamAt([first, second]);
    const { outcome } = new Sent(upstream, "[1]");
    await first.post();
    first.die();
    expect(await outcome).toMatchObject({ upstreamDied: true });
    await first.listen();
    expect(bodyOf(await new Sent(upstream, "[2]").outcome)).toBe("[2]");
    expect(second.received).toHaveLength(1);
  });
});

describe("connections", () => {
  it("are never more than the requests in flight at the peak", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt([backend]);
    let left = 200;
    await new Promise<void>((resolve) => {
      const next = (): void => {
        if (left-- > 0) void new Sent(upstream, "[1]", next);
        else if (sent.every(({ isOpen }) => !isOpen)) resolve();
      };
      for (let lanes = 0; lanes < 4; lanes++) next();
    });
    expect(backend.received).toHaveLength(200);
    expect(backend.connections).toBe(4);
  });
});

describe("close", () => {
  it("ends everything that is under way and leaves no connection open", async () => {
    const asked: string[] = [];
    const backend = await backendWith({
      onModels: (request) => void asked.push(request.url ?? ""),
      onPost: ({ response, body }) => {
        if (body === "answer") answer(response, 200, body);
        if (body === "head") response.writeHead(200).write("{");
      },
    });
    const upstream = upstreamAt([backend]);
    await new Sent(upstream, "answer").outcome;
    const lost = new Sent(upstream, "lost");
    (await backend.post(1)).socket.destroy();
    await vi.waitFor(() => expect(asked).toHaveLength(1), wait);
    const discovery = upstream.discover();
    await vi.waitFor(() => expect(asked).toHaveLength(2), wait);
    const others = ["wait", "head"].map((body) => new Sent(upstream, body));
    await backend.post(3);
    others.push(new Sent(upstream, "connecting"));
    await upstream.close();
    for (const { outcomes } of [lost, ...others]) expect(outcomes).toEqual([{ kind: "aborted" }]);
    expect(await discovery).toMatchObject({ ok: false });
    await vi.waitFor(() => expect(backend.open).toBe(0), wait);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends what is sent when other requests end, too", async () => {
    const backend = await backendWith();
    const upstream = upstreamAt([backend]);
    let left = 3;
    const next = (): void => void (left-- > 0 && new Sent(upstream, "{}", next));
    next();
    await backend.post();
    await upstream.close();
    expect(sent.map(({ outcomes }) => outcomes)).toEqual(
      [1, 2, 3].map(() => [{ kind: "aborted" }]),
    );
  });
});
