import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { SimulatorOptions } from "./options.ts";
import { Simulator } from "./simulator.ts";

const quick = { interval: 5, timeout: 10_000 };
const simulators: Simulator[] = [];
afterEach(async () => {
  for (const simulator of simulators.splice(0)) await simulator.stop();
});

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = new Simulator(options);
  simulators.push(simulator);
  await simulator.start();
  return simulator;
}

function ask(simulator: Simulator, content: string, init: RequestInit = {}): Promise<Response> {
  const messages = [{ role: "user", content }];
  return fetch(`${simulator.baseUrl}/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "simulated-model", messages }),
    ...init,
  });
}

async function statusOf(answer: Promise<Response>): Promise<number | "refused" | "dropped"> {
  try {
    const response = await answer;
    await response.arrayBuffer();
    return response.status;
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    return cause?.code === "ECONNREFUSED" ? "refused" : "dropped";
  }
}

describe("the queue", () => {
  it("runs as many as it may, lets others wait their turn, and answers 429 beyond its limit", async () => {
    const simulator = await start({ maxNumSeqs: 2, maxQueue: 1, retryAfterSeconds: 3 });
    const clients = [new AbortController(), new AbortController()];
    const held = clients.map(({ signal }) =>
      statusOf(ask(simulator, "[simulate: hang]", { signal })),
    );
    await expect.poll(() => simulator.stats().running, quick).toBe(2);
    const waiting = statusOf(ask(simulator, "patient"));
    await expect.poll(() => simulator.stats().waiting, quick).toBe(1);
    const refused = await ask(simulator, "too late");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "3"]);
    expect(await refused.json()).toMatchObject({ error: { code: "rate_limit_exceeded" } });
    clients[0]!.abort();
    expect(await waiting).toBe(200);
    clients[1]!.abort();
    expect(await Promise.all(held)).toEqual(["dropped", "dropped"]);
    await expect.poll(() => simulator.stats().inFlight, quick).toBe(0);
    expect(simulator.stats()).toMatchObject({
      requests: 4,
      answered: 2,
      unanswered: 2,
      running: 0,
      waiting: 0,
      peakRunning: 2,
      peakInFlight: 4,
      byStatus: { 200: 1, 429: 1 },
    });
  });

  it("forgets a client that leaves while waiting", async () => {
    const simulator = await start({ maxNumSeqs: 1 });
    const [holder, leaver] = [new AbortController(), new AbortController()];
    const held = statusOf(ask(simulator, "[simulate: hang]", { signal: holder.signal }));
    await expect.poll(() => simulator.stats().running, quick).toBe(1);
    const left = statusOf(ask(simulator, "leaves", { signal: leaver.signal }));
    await expect.poll(() => simulator.stats().waiting, quick).toBe(1);
    leaver.abort();
    await expect.poll(() => simulator.stats().waiting, quick).toBe(0);
    holder.abort();
    expect(await Promise.all([held, left])).toEqual(["dropped", "dropped"]);
    expect(await statusOf(ask(simulator, "next"))).toBe(200);
  });
});

describe("the failure rate", () => {
  it("fails the same prompts whatever the order they come in", async () => {
    const prompts = Array.from({ length: 60 }, (_, index) => `prompt ${index}`);
    const failing = async (order: string[]) => {
      const simulator = await start({ failureRate: 0.3, failureKinds: ["500"], seed: 7 });
      const statuses = await Promise.all(order.map((prompt) => statusOf(ask(simulator, prompt))));
      return order.filter((_, index) => statuses[index] === 500).sort();
    };
    const failed = await failing(prompts);
    expect(failed.length).toBeGreaterThan(5);
    expect(failed.length).toBeLessThan(35);
    expect(await failing(prompts.toReversed())).toEqual(failed);
  });
});

describe("modes", () => {
  it.each(["503", "401", "429", "500"] as const)("answer everything with %s", async (mode) => {
    const simulator = await start();
    await simulator.setMode(mode);
    expect(await statusOf(ask(simulator, "Hi"))).toBe(Number(mode));
    expect(await statusOf(fetch(`${simulator.baseUrl}/models`))).toBe(Number(mode));
    await simulator.setMode("ok");
    expect(await statusOf(ask(simulator, "Hi"))).toBe(200);
    expect(simulator.timesSent("Hi")).toBe(2);
  });

  it("drop and refuse connections, and come back on the same port", async () => {
    const simulator = await start();
    const held = statusOf(ask(simulator, "[simulate: hang]"));
    await expect.poll(() => simulator.stats().running, quick).toBe(1);
    await simulator.setMode("refuse");
    expect(await held).toBe("dropped");
    expect(await statusOf(ask(simulator, "Hi"))).toBe("refused");
    await simulator.setMode("ok");
    expect(await statusOf(ask(simulator, "Hi"))).toBe(200);
    expect(simulator.stats()).toMatchObject({ requests: 2, answered: 1, unanswered: 1 });
  });

  it("leave requests without an answer", async () => {
    const simulator = await start();
    await simulator.setMode("hang");
    const held = statusOf(ask(simulator, "Hi"));
    await expect.poll(() => simulator.timesSent("Hi"), quick).toBe(1);
    expect(simulator.stats().inFlight).toBe(1);
    await simulator.stop();
    expect(await held).toBe("dropped");
  });

  it("end by themselves when set for a time", async () => {
    const simulator = await start();
    await simulator.setMode("refuse", 20);
    await expect.poll(() => simulator.mode, quick).toBe("ok");
    await expect.poll(() => statusOf(ask(simulator, "Hi")), quick).toBe(200);
  });
});

describe("a crash", () => {
  it("drops every connection and refuses new ones", async () => {
    const simulator = await start({ crashDowntimeMs: 3_600_000 });
    const bystander = statusOf(ask(simulator, "[simulate: hang]"));
    await expect.poll(() => simulator.stats().running, quick).toBe(1);
    expect(await statusOf(ask(simulator, "[simulate: crash]"))).toBe("dropped");
    expect(await bystander).toBe("dropped");
    expect(await statusOf(ask(simulator, "Hi"))).toBe("refused");
    await simulator.setMode("ok");
    expect(await statusOf(ask(simulator, "Hi"))).toBe(200);
    expect(simulator.stats()).toMatchObject({ requests: 3, answered: 1, unanswered: 2 });
  });

  it("comes upon a prompt only when it runs, and is over after its downtime", async () => {
    const simulator = await start({ maxNumSeqs: 1, crashDowntimeMs: 20 });
    const holder = new AbortController();
    const held = statusOf(ask(simulator, "[simulate: hang]", { signal: holder.signal }));
    await expect.poll(() => simulator.stats().running, quick).toBe(1);
    const poison = statusOf(ask(simulator, "[simulate: crash x1]"));
    await expect.poll(() => simulator.stats().waiting, quick).toBe(1);
    expect(await statusOf(fetch(`${simulator.origin}/health`))).toBe(200);
    holder.abort();
    expect(await Promise.all([held, poison])).toEqual(["dropped", "dropped"]);
    await expect.poll(() => statusOf(ask(simulator, "[simulate: crash x1]")), quick).toBe(200);
  });
});

describe("clients that leave", () => {
  it("in the middle of their request are counted, and harm nobody", async () => {
    const simulator = await start();
    const socket = connect(Number(new URL(simulator.origin).port), "127.0.0.1");
    socket.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    await expect.poll(() => simulator.stats().inFlight, quick).toBe(1);
    socket.destroy();
    await expect.poll(() => simulator.stats().unanswered, quick).toBe(1);
    expect(await statusOf(ask(simulator, "Hi"))).toBe(200);
  });

  it("in the middle of a long answer do not count as answered", async () => {
    const simulator = await start();
    const input = Array.from({ length: 256 }, (_, index) => `text ${index}`);
    const model = "simulated-model";
    const body = JSON.stringify({ model, input, dimensions: 8_192, encoding_format: "base64" });
    const socket = connect(Number(new URL(simulator.origin).port), "127.0.0.1");
    socket.write(
      `POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    socket.write(body);
    await once(socket, "readable");
    expect(simulator.stats()).toMatchObject({ answered: 0, inFlight: 1 });
    socket.destroy();
    await expect.poll(() => simulator.stats().unanswered, quick).toBe(1);
    expect(simulator.stats()).toMatchObject({ answered: 0, inFlight: 0 });
  });
});

describe("start and stop", () => {
  it("frees the port at the end of its scope, and can start again on it", async () => {
    let ended: Simulator;
    {
      await using simulator = new Simulator();
      await simulator.start();
      ended = simulator;
      expect(await statusOf(ask(simulator, "Hi"))).toBe(200);
    }
    expect(await statusOf(ask(ended, "Hi"))).toBe("refused");
    simulators.push(ended);
    const { baseUrl } = await ended.start();
    expect(baseUrl).toBe(ended.baseUrl);
    expect(await statusOf(ask(ended, "Hi"))).toBe(200);
  });

  it("rejects a taken port at once", async () => {
    const first = await start();
    const port = Number(new URL(first.origin).port);
    await expect(new Simulator({ port }).start()).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});
