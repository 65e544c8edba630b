import type { RequestListener } from "node:http";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { answer, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import { Simulator } from "../simulator/simulator.ts";
import { Replica } from "./replica.ts";

const KEY = "sk-very-secret";
const clock = new FakeClock();
let cleanup: AsyncDisposableStack;

beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanup.disposeAsync();
});

function replicaAt(baseUrl: string, key = KEY): Replica {
  const replica = new Replica(baseUrl, ["authorization", `Bearer ${key}`], clock);
  cleanup.defer(() => replica.close());
  return replica;
}

async function backendWith(onModels?: RequestListener): Promise<ScriptedBackend> {
  const script = onModels === undefined ? {} : { onModels };
  const backend = await ScriptedBackend.start(script);
  cleanup.use(backend);
  return backend;
}

async function refusedUrl(): Promise<string> {
  const backend = await ScriptedBackend.start();
  backend.die();
  return backend.baseUrl;
}

describe("the list of models", () => {
  it("is asked for below the base path, with the key", async () => {
    const asked: unknown[] = [];
    const backend = await backendWith((request, response) => {
      asked.push([request.url, request.headers.authorization]);
      answer(response, 200, '{"data":[{"id":"m"},{"id":"meta/n","owned_by":"x"}]}');
    });
    const deep = backend.baseUrl.replace("/v1", "/openai/v1");
    expect(await replicaAt(deep).models()).toEqual({ ok: true, models: ["m", "meta/n"] });
    expect(asked).toEqual([["/openai/v1/models", `Bearer ${KEY}`]]);
  });

  it("comes from the simulator, with its key", async () => {
    const simulator = new Simulator({ models: ["a", "b"], apiKey: KEY });
    const { baseUrl } = await simulator.start();
    cleanup.use(simulator);
    expect(await replicaAt(baseUrl).models()).toEqual({ ok: true, models: ["a", "b"] });
    expect(await replicaAt(baseUrl, "wrong").models()).toEqual({
      ok: false,
      detail: `GET ${baseUrl}/models answered 401`,
    });
  });

  it("may be empty, and passes over what has no name", async () => {
    const bodies = ['{"data":[]}', '{"data":[{"id":7},{"id":"m"},{}]}'];
    const backend = await backendWith((_request, response) => {
      answer(response, 200, bodies.shift() ?? "");
    });
    const replica = replicaAt(backend.baseUrl);
    expect(await replica.models()).toEqual({ ok: true, models: [] });
    expect(await replica.models()).toEqual({ ok: true, models: ["m"] });
  });

  it.each([
    "",
    "<html>Not found</html>",
    "null",
    "[]",
    "{}",
    '{"data":null}',
    '{"data":{"id":"m"}}',
    '{"data":"m"}',
    '{"data":[null]}',
    '{"data":["m"]}',
    '{"data":[{"id":7}]}',
    '{"models":[{"name":"m"}]}',
  ])("is not what the backend answered: %s", async (body) => {
    const backend = await backendWith((_request, response) => answer(response, 200, body));
    expect(await replicaAt(backend.baseUrl).models()).toEqual({
      ok: false,
      detail: `GET ${backend.baseUrl}/models did not answer with a list of models`,
    });
  });

  it.each([204, 301, 401, 403, 404, 429, 500, 503])("is missing with status %d", async (status) => {
    const backend = await backendWith((request, response) => {
      // Some backends say which key they were given.
      answer(response, status, `no: ${request.headers.authorization}`, { location: "/" });
    });
    expect(await replicaAt(backend.baseUrl).models()).toEqual({
      ok: false,
      detail: `GET ${backend.baseUrl}/models answered ${status}`,
    });
  });

  async function detailOf(replica: Replica): Promise<string> {
    const answered = await replica.models();
    if (answered.ok) throw new Error("expected a failure");
    expect(answered.detail).not.toContain(KEY);
    return answered.detail;
  }

  it("is missing where nobody listens", async () => {
    const url = await refusedUrl();
    expect(await detailOf(replicaAt(url))).toMatch(
      new RegExp(`^GET ${url}/models: connect ECONNREFUSED 127\\.0\\.0\\.1:\\d+$`),
    );
    const named = url.replace("127.0.0.1", "localhost");
    expect(await detailOf(replicaAt(named))).toContain("ECONNREFUSED");
  });

  it("is missing when the connection is cut, before or in the middle of the answer", async () => {
    const backend = await backendWith((request) => request.socket.destroy());
    expect(await detailOf(replicaAt(backend.baseUrl))).toMatch(/models: .*(closed|ECONNRESET)/);
    backend.script.onModels = (_request, response) => {
      response.writeHead(200, { "content-length": "100" }).write('{"data":');
      setImmediate(() => response.destroy());
    };
    expect(await detailOf(replicaAt(backend.baseUrl))).toMatch(/models: ./);
  });

  it("is missing when the answer is too large", async () => {
    const backend = await backendWith((_request, response) => {
      answer(response, 200, `{"data":[],"x":"${"x".repeat(5 * 1024 * 1024)}"}`);
    });
    expect(await detailOf(replicaAt(backend.baseUrl))).toContain("size");
  });

  it.each(["nothing", "only the head"])(
    "is missing when %s comes within ten seconds",
    async (part) => {
      const patience = new AbortController();
      const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(patience.signal);
      const expired = () =>
        setImmediate(() => patience.abort(new DOMException("timeout", "TimeoutError")));
      const backend = await backendWith((_request, response) => {
        if (part !== "nothing") response.writeHead(200).write('{"data":[');
        expired();
      });
      expect(await detailOf(replicaAt(backend.baseUrl))).toContain("timeout");
      expect(timeout).toHaveBeenCalledWith(10_000);
      await vi.waitFor(() => expect(backend.open).toBe(0));
    },
  );

  it("is missing with a key that no header can hold, which is not told", async () => {
    const backend = await backendWith();
    expect(await detailOf(replicaAt(backend.baseUrl, `${KEY}\n`))).toContain("authorization");
  });

  it("leaves no connection behind", async () => {
    const backend = await backendWith();
    const replica = replicaAt(backend.baseUrl);
    for (let times = 0; times < 3; times++) await replica.models();
    await vi.waitFor(() => expect(backend.open).toBe(0));
    expect(backend.connections).toBe(3);
  });
});

describe("alive", () => {
  it("is who answers at all, whatever it says", async () => {
    const backend = await backendWith((_request, response) => answer(response, 500, "broken"));
    expect(await replicaAt(backend.baseUrl).alive()).toBe(true);
    backend.script.onModels = (request) => request.socket.destroy();
    expect(await replicaAt(backend.baseUrl).alive()).toBe(false);
    backend.die();
    expect(await replicaAt(backend.baseUrl).alive()).toBe(false);
  });
});

describe("a replica that could not be reached", () => {
  it("is avoided for a while that doubles, up to ten seconds, until it was reached", () => {
    vi.spyOn(Math, "random").mockReturnValue(0.999999);
    const replica = replicaAt("http://127.0.0.1:1/v1");
    expect(replica.avoided).toBe(false);
    for (const pauseMs of [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      replica.notReached();
      clock.pass(pauseMs - 1);
      expect(replica.avoided).toBe(true);
      // Requests that were under way say nothing new.
      replica.notReached();
      clock.pass(1);
      expect(replica.avoided).toBe(false);
    }
    replica.notReached();
    replica.reached();
    expect(replica.avoided).toBe(false);
    replica.notReached();
    clock.pass(500);
    expect(replica.avoided).toBe(false);
  });
});
