// Which lost connections speak against a line, and which do not: something in front of a dead backend
// may accept connections, and a living backend may close one at the moment at which it is used again.
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import {
  answer,
  postRequest,
  type Script,
  ScriptedBackend,
} from "../../test/support/scripted-backend.ts";
import type { UpstreamCall, UpstreamOutcome } from "../core/upstream.ts";
import { HttpUpstream } from "./http-upstream.ts";

let clock: FakeClock;
let cleanup: AsyncDisposableStack;

beforeEach(() => {
  clock = new FakeClock();
  cleanup = new AsyncDisposableStack();
});

afterEach(() => cleanup.disposeAsync());

async function backendWith(script: Script): Promise<ScriptedBackend> {
  const backend = await ScriptedBackend.start(script);
  cleanup.use(backend);
  return backend;
}

function upstreamAt(...backends: readonly ScriptedBackend[]): HttpUpstream {
  const upstream = new HttpUpstream({
    name: "gpu",
    baseUrls: backends.map(({ baseUrl }) => baseUrl),
    apiKey: null,
    models: ["m"],
    endpoints: ["/v1/embeddings"],
    attachments: "multipart",
    requestTimeoutMs: 60_000,
    answerSizeBytes: 10_000,
    clock,
  });
  cleanup.defer(() => upstream.close());
  return upstream;
}

interface Sent {
  call: UpstreamCall;
  outcome: Promise<UpstreamOutcome>;
}

function begin(upstream: HttpUpstream, body = "[1]"): Sent {
  const { promise, resolve } = Promise.withResolvers<UpstreamOutcome>();
  const request = postRequest(body, { requestId: "req_1" });
  return { call: upstream.send(request, resolve), outcome: promise };
}

const send = (upstream: HttpUpstream, body?: string) => begin(upstream, body).outcome;

const answered = (body: string) => ({ kind: "answer", status: 200, body: Buffer.from(body) });
const echo: Script = { onPost: ({ response, body }) => answer(response, 200, body) };
const close = ({ socket }: IncomingMessage) => void socket.destroy();

/** What something in front of a dead backend does: accepts, and closes. Notes the POSTs. */
function deadEnd(posts: IncomingMessage[]): Script {
  return {
    onHead: (request) => {
      posts.push(request);
      close(request);
      return true;
    },
    onModels: close,
  };
}

describe("a backend behind something that accepts connections and closes them", () => {
  test("has one line cut; then nothing is sent to it until it answers a question", async () => {
    const posts: IncomingMessage[] = [];
    const backend = await backendWith(deadEnd(posts));
    const upstream = upstreamAt(backend);
    expect(await send(upstream)).toMatchObject({ kind: "cut", upstreamDied: true });
    for (let times = 0; times < 5; times++) {
      clock.pass(60_000);
      expect(await send(upstream)).toMatchObject({ kind: "unreachable" });
    }
    expect(posts).toHaveLength(1);
    backend.script = echo;
    expect(await send(upstream, "[2]")).toMatchObject(answered("[2]"));
  });

  test("is asked once for all lines that wait", async () => {
    const posts: IncomingMessage[] = [];
    const backend = await backendWith(deadEnd(posts));
    const upstream = upstreamAt(backend);
    await send(upstream);
    let questions = 0;
    backend.script = {
      ...deadEnd(posts),
      onModels: (request) => {
        questions++;
        close(request);
      },
    };
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => send(upstream)));
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(["unreachable"]));
    expect([posts.length, questions]).toEqual([1, 1]);
  });

  test("leaves its lines to another replica", async () => {
    const posts: IncomingMessage[] = [];
    const upstream = upstreamAt(await backendWith(deadEnd(posts)), await backendWith(echo));
    await send(upstream);
    for (let times = 0; times < 3; times++) {
      // Long enough that it would be tried first again.
      clock.pass(60_000);
      expect(await send(upstream)).toMatchObject(answered("[1]"));
    }
    expect(posts).toHaveLength(1);
  });

  test("is sent nothing that was aborted while it was asked", async () => {
    const posts: IncomingMessage[] = [];
    const backend = await backendWith(deadEnd(posts));
    const upstream = upstreamAt(backend);
    await send(upstream);
    const { promise: asked, resolve } = Promise.withResolvers<() => void>();
    backend.script = {
      ...echo,
      onModels: (_, response) => resolve(() => answer(response, 200, "{}")),
    };
    const aborted = begin(upstream, "[aborted]");
    const other = begin(upstream, "[other]");
    const reply = await asked;
    aborted.call.abort();
    expect(await aborted.outcome).toEqual({ kind: "aborted" });
    reply();
    expect(await other.outcome).toMatchObject(answered("[other]"));
    expect(backend.received.map(({ body }) => body)).toEqual(["[other]"]);
  });
});

describe("a connection that the backend closes as a request comes", () => {
  /** Closes connections on which it has answered before, when the next request comes. */
  async function closingBackend(isClosing: (request: IncomingMessage, served: boolean) => boolean) {
    const served = new Set<Socket>();
    let posts = 0;
    const backend = await backendWith({
      onHead: (request) => {
        posts++;
        const closes = isClosing(request, served.has(request.socket));
        served.add(request.socket);
        if (closes) close(request);
        return closes;
      },
      ...echo,
    });
    return { backend, posts: () => posts };
  }

  test("costs nothing when it was used before: the request is sent on a new one", async () => {
    const { backend, posts } = await closingBackend((_, served) => served);
    const upstream = upstreamAt(backend);
    // Two connections: the second try must not take the other one.
    await Promise.all([send(upstream, "[1]"), send(upstream, "[2]")]);
    expect(await send(upstream, "[3]")).toMatchObject(answered("[3]"));
    expect(posts()).toBe(4);
    expect(backend.received.map(({ body }) => body).toSorted()).toEqual(["[1]", "[2]", "[3]"]);
  });

  test("is a cut when it is new, and the request is not sent again", async () => {
    const { backend, posts } = await closingBackend(() => true);
    const upstream = upstreamAt(backend);
    expect(await send(upstream)).toMatchObject({ kind: "cut", upstreamDied: false });
    expect(posts()).toBe(1);
  });

  test("is a cut when the new one is closed, too", async () => {
    let isOver = false;
    const { backend, posts } = await closingBackend(() => isOver);
    const upstream = upstreamAt(backend);
    await send(upstream);
    isOver = true;
    expect(await send(upstream)).toMatchObject({ kind: "cut", upstreamDied: false });
    expect(posts()).toBe(3);
    expect(backend.received).toHaveLength(1);
  });

  test("is a cut when the answer had begun", async () => {
    const backend = await backendWith(echo);
    const upstream = upstreamAt(backend);
    await send(upstream);
    backend.script = {
      onPost: ({ response, socket }) => {
        response.writeHead(200);
        response.write("{", () => socket.end());
      },
    };
    expect(await send(upstream)).toMatchObject({ kind: "cut", upstreamDied: false });
    expect(backend.received).toHaveLength(2);
  });

  test("is a death when the backend does not answer a question either", async () => {
    const posts: IncomingMessage[] = [];
    const backend = await backendWith(echo);
    const upstream = upstreamAt(backend);
    await send(upstream);
    backend.script = deadEnd(posts);
    expect(await send(upstream)).toMatchObject({ kind: "cut", upstreamDied: true });
    await vi.waitFor(() => expect(posts).toHaveLength(1));
  });
});
