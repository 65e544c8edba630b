import { afterEach, describe, expect, it } from "vitest";
import type { SimulatorOptions } from "./options.ts";
import { Simulator } from "./simulator.ts";

const quick = { interval: 5, timeout: 10_000 };
let simulator: Simulator;
afterEach(() => simulator.stop());

async function start(options: SimulatorOptions = {}): Promise<void> {
  simulator = new Simulator(options);
  await simulator.start();
}

function ask(content: string, more: object = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${simulator.baseUrl}/chat/completions`, {
    method: "POST",
    body: JSON.stringify({
      model: "simulated-model",
      messages: [{ role: "user", content }],
      ...more,
    }),
    ...(signal && { signal }),
  });
}

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("an answer", () => {
  it("takes the time to the first token and the time of the others", async () => {
    await start({ timeToFirstTokenMs: 40, interTokenLatencyMs: 10, outputTokens: 5 });
    const startedAt = performance.now();
    await (await ask("Hi")).json();
    // Timers count whole milliseconds and may fire up to one early.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(79);
  });

  it("takes less time when it has fewer tokens", async () => {
    await start({ interTokenLatencyMs: 20, outputTokens: 16 });
    const ended: number[] = [];
    const tokenLimits = [16, 8, 1];
    await Promise.all(
      tokenLimits.map(async (max_tokens) => {
        await (await ask("Hi", { max_tokens })).json();
        ended.push(max_tokens);
      }),
    );
    expect(ended).toEqual([1, 8, 16]);
  });

  it("streams token by token", async () => {
    await start({ interTokenLatencyMs: 15, outputTokens: 4 });
    const startedAt = performance.now();
    const response = await ask("Hi", { stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const pieces = await collected(response.body!.pipeThrough(new TextDecoderStream()));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(42);
    expect(pieces.length).toBeGreaterThan(1);
    const events = pieces.join("").split("\n\n");
    expect(events.filter((event) => event.includes('"content":'))).toHaveLength(5);
    expect(events.at(-2)).toBe("data: [DONE]");
  });
});

describe("a directive makes an answer", () => {
  it.each([400, 404, 429, 500, 503])("a refusal with %i", async (status) => {
    await start();
    const response = await ask(`[simulate: ${status}]`);
    expect(response.status).toBe(status);
    expect(response.headers.get("x-offpeak-simulator")).toBe("true");
    expect(response.headers.get("retry-after")).toBe(status === 429 ? "1" : null);
    const body = (await response.json()) as { error: object };
    expect(Object.keys(body.error)).toEqual(["message", "type", "param", "code"]);
  });

  it("fail the first two times and then succeed", async () => {
    await start();
    const statuses = [];
    for (let time = 1; time <= 3; time++) statuses.push((await ask("[simulate: 500 x2]")).status);
    expect(statuses).toEqual([500, 500, 200]);
  });

  it.each([false, true])("end half-way (streamed: %s)", async (stream) => {
    await start();
    const response = await ask("[simulate: cut]", { stream });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow("terminated");
    expect(simulator.stats()).toMatchObject({ answered: 0, unanswered: 1, inFlight: 0 });
  });

  it("a 200 without JSON", async () => {
    await start();
    const response = await ask("[simulate: garbage]");
    expect(response.status).toBe(200);
    await expect(response.json()).rejects.toThrow(SyntaxError);
  });

  it("drip, slowly but right", async () => {
    await start({ outputTokens: 1, dripIntervalMs: 1 });
    const response = await ask("[simulate: drip]");
    const pieces = await collected(response.body!.pipeThrough(new TextDecoderStream()));
    expect(pieces.length).toBeGreaterThan(20);
    expect(JSON.parse(pieces.join(""))).toMatchObject({ object: "chat.completion" });
  });

  it("never come, until the client gives up", async () => {
    await start();
    const client = new AbortController();
    const answer = ask("[simulate: hang]", {}, client.signal);
    await expect.poll(() => simulator.stats().inFlight, quick).toBe(1);
    client.abort();
    await expect(answer).rejects.toThrow("aborted");
    await expect.poll(() => simulator.stats().inFlight, quick).toBe(0);
    expect(simulator.stats().unanswered).toBe(1);
  });
});
