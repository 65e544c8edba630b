// What becomes of requests, against real servers on this machine.
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import {
  answer,
  postRequest,
  type Received,
  ScriptedBackend,
} from "../../test/support/scripted-backend.ts";
import type { UpstreamCall, UpstreamOutcome } from "../core/upstream.ts";
import { HttpUpstream, type HttpUpstreamOptions } from "./http-upstream.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const until = (condition: () => void) => vi.waitFor(condition, { interval: 2, timeout: 5_000 });

type OnPost = (received: Received) => void;
const ok: OnPost = ({ response }) => answer(response, 200, '{"ok":true}');
const cut: OnPost = ({ socket }) => socket.destroy();

/** A backend that does with each request as told; untold, it never answers. */
async function backendOf(onPost: OnPost = () => {}): Promise<ScriptedBackend> {
  const backend = await ScriptedBackend.start({ onPost });
  closers.push(() => backend[Symbol.asyncDispose]());
  return backend;
}

function upstreamOf(
  backends: readonly { baseUrl: string }[],
  options: Partial<HttpUpstreamOptions> = {},
) {
  const clock = new FakeClock();
  const upstream = new HttpUpstream({
    name: "gpu",
    baseUrls: backends.map(({ baseUrl }) => baseUrl),
    apiKey: null,
    models: null,
    endpoints: ["/v1/embeddings"],
    attachments: "multipart",
    requestTimeoutMs: 60_000,
    answerSizeBytes: 1_000_000,
    clock,
    ...options,
  });
  closers.push(() => upstream.close());
  return { upstream, clock };
}

/** Sends one request; its outcome must come once, and not before `send` has returned. */
function send(upstream: HttpUpstream, body = "{}") {
  const { promise, resolve } = Promise.withResolvers<UpstreamOutcome>();
  const sent: UpstreamCall[] = [];
  const outcomes: UpstreamOutcome[] = [];
  const call = upstream.send(postRequest(body), (outcome) => {
    expect(sent).toHaveLength(1);
    outcomes.push(outcome);
    expect(outcomes).toHaveLength(1);
    resolve(outcome);
  });
  sent.push(call);
  return { call, outcome: promise };
}

const text = (outcome: UpstreamOutcome) =>
  outcome.kind === "answer" ? Buffer.from(outcome.body).toString() : outcome.kind;

describe("an answer", () => {
  test("comes with its status and body; the request has the key, the id and the path", async () => {
    const backend = await backendOf(({ response }) =>
      answer(response, 422, '{"error":{}}', { "retry-after": "3" }),
    );
    const baseUrl = `${backend.baseUrl.replace("/v1", "/openai/v9")}/`;
    const { upstream } = upstreamOf([{ baseUrl }], { apiKey: "k" });
    const outcome = await send(upstream, '{"model":"é"}').outcome;
    expect(outcome).toMatchObject({ kind: "answer", status: 422, retryAfterMs: 3_000 });
    expect(text(outcome)).toBe('{"error":{}}');
    const [{ request, body }] = backend.received as [Received];
    expect([request.url, body]).toEqual(["/openai/v9/embeddings", '{"model":"é"}']);
    expect(request.headers).toMatchObject({
      authorization: "Bearer k",
      "content-type": "application/json",
      "content-length": "14",
      "x-request-id": "r-1",
    });
  });

  test("without a key has no authorization", async () => {
    const backend = await backendOf(ok);
    await send(upstreamOf([backend]).upstream).outcome;
    expect(backend.received[0]!.request.headers).not.toHaveProperty("authorization");
  });

  test("in many pieces is put together", async () => {
    const pieces = Array.from({ length: 200 }, (_, piece) => `${piece},`.repeat(100));
    const backend = await backendOf(({ response }) => {
      for (const piece of pieces) response.write(piece);
      response.end();
    });
    expect(text(await send(upstreamOf([backend]).upstream).outcome)).toBe(pieces.join(""));
  });

  test("is empty when there is no body", async () => {
    const backend = await backendOf(({ response }) => response.writeHead(204).end());
    const outcome = await send(upstreamOf([backend]).upstream).outcome;
    expect([text(outcome), outcome]).toEqual(["", expect.objectContaining({ status: 204 })]);
  });

  test("that redirects is not followed", async () => {
    const backend = await backendOf(({ response }) =>
      answer(response, 307, "{}", { location: "/elsewhere" }),
    );
    expect(await send(upstreamOf([backend]).upstream).outcome).toMatchObject({ status: 307 });
    expect(backend.received).toHaveLength(1);
  });

  test("is not what a server says before it answers", async () => {
    const backend = await backendOf(({ response }) => {
      response.writeEarlyHints({ link: "</x>; rel=preload" });
      answer(response, 200, "{}");
    });
    const outcome = await send(upstreamOf([backend]).upstream).outcome;
    expect([text(outcome), outcome]).toEqual(["{}", expect.objectContaining({ status: 200 })]);
  });

  test("connections are used again, one for each request in flight", async () => {
    const backend = await backendOf(ok);
    const { upstream } = upstreamOf([backend]);
    for (let times = 0; times < 5; times++) await send(upstream).outcome;
    expect(backend.connections).toBe(1);
    await Promise.all([1, 2, 3].map(() => send(upstream).outcome));
    expect(backend.connections).toBe(3);
  });

  test("comes also when the server closes the connection after each", async () => {
    const backend = await backendOf(({ response }) =>
      answer(response, 200, "{}", { connection: "close" }),
    );
    const { upstream } = upstreamOf([backend]);
    for (let times = 0; times < 3; times++) {
      expect(await send(upstream).outcome).toMatchObject({ kind: "answer" });
    }
  });
});

describe("a lost connection", () => {
  test("nobody listens: the request was not sent", async () => {
    const backend = await backendOf(ok);
    backend.die();
    expect(await send(upstreamOf([backend]).upstream).outcome).toEqual({
      kind: "unreachable",
      detail: expect.stringMatching(/^connect ECONNREFUSED 127\.0\.0\.1:\d+$/),
    });
  });

  test("before the answer, with the server alive", async () => {
    const backend = await backendOf(cut);
    expect(await send(upstreamOf([backend]).upstream).outcome).toEqual({
      kind: "cut",
      detail: "other side closed",
      upstreamDied: false,
    });
  });

  test("in the middle of the answer, with the server alive", async () => {
    const backend = await backendOf(({ response, socket }) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half of it", () => socket.destroy());
    });
    const outcome = await send(upstreamOf([backend]).upstream).outcome;
    expect(outcome).toMatchObject({ kind: "cut", upstreamDied: false });
  });

  test("one of several: the others still run, so the server lives", async () => {
    const backend = await backendOf((received) => {
      if (received.body === "cut") cut(received);
    });
    const { upstream } = upstreamOf([backend]);
    send(upstream);
    send(upstream);
    await backend.post(1);
    expect(await send(upstream, "cut").outcome).toMatchObject({ upstreamDied: false });
  });

  test("all of several at once: the server died, even if another one answers already", async () => {
    const backend = await backendOf();
    const { upstream } = upstreamOf([backend]);
    const sent = [send(upstream), send(upstream), send(upstream)];
    await backend.post(2);
    backend.cutAll();
    for (const { outcome } of sent) {
      expect(await outcome).toMatchObject({ kind: "cut", upstreamDied: true });
    }
  });

  test("the server was killed", async () => {
    const backend = await backendOf();
    const { outcome } = send(upstreamOf([backend]).upstream);
    await backend.post();
    backend.die();
    expect(await outcome).toMatchObject({ kind: "cut", upstreamDied: true });
  });
});

describe("a limit", () => {
  test("of time ends the request and its connection, and no other", async () => {
    const backend = await backendOf();
    const { upstream, clock } = upstreamOf([backend], { requestTimeoutMs: 1_500 });
    const early = send(upstream);
    clock.pass(1_000);
    const late = send(upstream);
    await backend.post(1);
    clock.pass(500);
    expect(await early.outcome).toEqual({ kind: "timeout", afterMs: 1_500 });
    await until(() => expect(backend.open).toBe(1));
    clock.pass(1_000);
    expect(await late.outcome).toEqual({ kind: "timeout", afterMs: 1_500 });
  });

  test("of time counts until the whole answer is there", async () => {
    const backend = await backendOf(({ response }) => {
      response.writeHead(200);
      response.write("the beginning");
    });
    const { upstream, clock } = upstreamOf([backend], { requestTimeoutMs: 1_000 });
    const { outcome } = send(upstream);
    await backend.post();
    clock.pass(1_000);
    expect(await outcome).toMatchObject({ kind: "timeout" });
  });

  test("of size: the answer is dropped, and the next request goes on", async () => {
    const backend = await backendOf(({ response, body }) =>
      answer(response, 200, body === "large" ? "x".repeat(501) : "x".repeat(500)),
    );
    const { upstream } = upstreamOf([backend], { answerSizeBytes: 500 });
    expect(await send(upstream, "large").outcome).toEqual({ kind: "oversized", limitBytes: 500 });
    expect(await send(upstream).outcome).toMatchObject({ kind: "answer" });
  });
});

describe("an abort", () => {
  test("while connecting: nothing arrives", async () => {
    const backend = await backendOf(ok);
    const { upstream } = upstreamOf([backend]);
    const { call, outcome } = send(upstream);
    call.abort();
    expect(await outcome).toEqual({ kind: "aborted" });
    expect(text(await send(upstream).outcome)).toBe('{"ok":true}');
    expect(backend.received).toHaveLength(1);
  });

  test("while waiting for the answer: the server sees the connection close", async () => {
    const backend = await backendOf();
    const { call, outcome } = send(upstreamOf([backend]).upstream);
    await backend.post();
    call.abort();
    expect(await outcome).toEqual({ kind: "aborted" });
    await until(() => expect(backend.open).toBe(0));
  });

  test("twice, or after the outcome, changes nothing", async () => {
    const backend = await backendOf(ok);
    const { upstream } = upstreamOf([backend]);
    const answered = send(upstream);
    await answered.outcome;
    answered.call.abort();
    const aborted = send(upstream);
    aborted.call.abort();
    aborted.call.abort();
    expect(await aborted.outcome).toEqual({ kind: "aborted" });
  });

  test("while it is being found out whether the server lives, is not put off", async () => {
    // Takes the first request and drops it, and leaves every further question without an answer.
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.on("error", () => {}));
      if (sockets.length === 1) socket.once("data", () => socket.destroy());
    });
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { upstream } = upstreamOf([{ baseUrl: `http://127.0.0.1:${port}/v1` }]);
    const { call, outcome } = send(upstream);
    await until(() => expect(sockets).toHaveLength(2));
    call.abort();
    expect(await outcome).toEqual({ kind: "aborted" });
  });

  test.each(["aborted", "timeout", "oversized"])(
    "a request sent from the outcome %s is not taken down with it",
    async (how) => {
      const backend = await backendOf(({ response, body }) => {
        if (body === "large") response.write("x".repeat(2_000));
        else if (body === "next") answer(response, 200, "{}");
      });
      const limits = { answerSizeBytes: 1_000, requestTimeoutMs: 1_000 };
      const { upstream, clock } = upstreamOf([backend], limits);
      const next = Promise.withResolvers<UpstreamOutcome>();
      const first = postRequest(how === "oversized" ? "large" : "hang");
      const call = upstream.send(first, (outcome) => {
        expect(outcome.kind).toBe(how);
        upstream.send(postRequest("next", { requestId: "r-2" }), next.resolve);
      });
      if (how === "aborted") call.abort();
      if (how === "timeout") await backend.post();
      clock.pass(how === "timeout" ? 1_000 : 0);
      expect(text(await next.promise)).toBe("{}");
    },
  );

  test("of everything, when the upstream is closed", async () => {
    const backend = await backendOf();
    const { upstream } = upstreamOf([backend]);
    const waiting = send(upstream);
    await backend.post();
    const connecting = send(upstream);
    await upstream.close();
    expect(await waiting.outcome).toEqual({ kind: "aborted" });
    expect(await connecting.outcome).toEqual({ kind: "aborted" });
  });
});

describe("several replicas", () => {
  const counts = (backends: ScriptedBackend[]) => backends.map(({ received }) => received.length);

  test("the one with the least in flight gets the next request", async () => {
    const backends = [await backendOf(), await backendOf((each) => void (each.body && ok(each)))];
    const { upstream } = upstreamOf(backends);
    send(upstream);
    for (let times = 0; times < 5; times++) await send(upstream).outcome;
    expect(counts(backends)).toEqual([1, 5]);
    for (let times = 0; times < 5; times++) send(upstream, "");
    await until(() => expect(counts(backends)).toEqual([3, 8]));
  });

  test("one that can't be reached hands its request to another, and is avoided for a while", async () => {
    const [dead, alive] = [await backendOf(ok), await backendOf(ok)];
    dead.die();
    const { upstream, clock } = upstreamOf([dead, alive]);
    for (let times = 0; times < 20; times++) {
      expect(await send(upstream).outcome).toMatchObject({ kind: "answer", status: 200 });
    }
    expect(counts([dead, alive])).toEqual([0, 20]);
    await dead.listen();
    expect(await send(upstream).outcome).toMatchObject({ kind: "answer" });
    expect(counts([dead, alive])).toEqual([0, 21]);
    clock.pass(500);
    expect(await send(upstream).outcome).toMatchObject({ kind: "answer" });
    expect(counts([dead, alive])).toEqual([1, 21]);
  });

  test("when none can be reached, that is the outcome; once, and not for good", async () => {
    const backends = [await backendOf(ok), await backendOf(ok)];
    for (const backend of backends) backend.die();
    const { upstream } = upstreamOf(backends);
    expect(await send(upstream).outcome).toMatchObject({ kind: "unreachable" });
    // All are avoided now; one of them is tried all the same.
    expect(await send(upstream).outcome).toMatchObject({ kind: "unreachable" });
    await backends[1]!.listen();
    await backends[0]!.listen();
    expect(await send(upstream).outcome).toMatchObject({ kind: "answer" });
  });

  test("a request that was sent is not sent to another by itself", async () => {
    const [first, second] = [await backendOf(cut), await backendOf(ok)];
    const { upstream } = upstreamOf([first, second]);
    expect(await send(upstream).outcome).toMatchObject({ kind: "cut" });
    expect(counts([first, second])).toEqual([1, 0]);
  });

  test("their models are known together; one that answers is enough", async () => {
    const [dead, alive] = [await backendOf(), await backendOf()];
    const { upstream } = upstreamOf([dead, alive, alive]);
    expect(await upstream.discover()).toEqual({ ok: true, models: ["m"] });
    dead.die();
    expect(await upstream.discover()).toEqual({ ok: true, models: ["m"] });
    alive.die();
    const discovery = await upstream.discover();
    expect(discovery).toMatchObject({ ok: false });
    for (const { baseUrl } of [dead, alive]) {
      expect(JSON.stringify(discovery)).toContain(`GET ${baseUrl}/models: connect ECONNREFUSED`);
    }
  });
});
