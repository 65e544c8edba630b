import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { until } from "../test/support/until.ts";
import { Backend } from "./backend.ts";

async function connected(backend: Backend): Promise<Socket> {
  const socket = connect(Number(new URL(backend.baseUrl).port), "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

async function answer(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes.toString();
}

const post = (body: string) =>
  `POST /v1/chat/completions HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("the raw responder", () => {
  it("lists its model and answers a POST once its body is whole", async () => {
    await using backend = await Backend.start({ answerBytes: 1_000 });
    const socket = await connected(backend);
    socket.write("GET /v1/models HTTP/1.1\r\n\r\n");
    expect(await answer(socket)).toContain('"id":"bench"');
    socket.write(post("{}").slice(0, -1));
    expect(await backend.tell({})).toMatchObject({ posts: 0 });
    socket.write("}");
    const [, body = ""] = (await answer(socket)).split("\r\n\r\n");
    expect(body).toHaveLength(1_000);
    expect(JSON.parse(body)).toMatchObject({ object: "chat.completion" });
    expect(await backend.tell({})).toMatchObject({ posts: 1 });
    socket.destroy();
  });

  it("keeps POSTs waiting beyond those it may answer", async () => {
    await using backend = await Backend.start();
    const [first, second] = [await connected(backend), await connected(backend)];
    await backend.tell({ answerOnly: 1 });
    first.write(post("{}"));
    await answer(first);
    second.write(post("{}"));
    await until("both POSTs", async () => (await backend.tell({})).posts === 2);
    expect(second.bytesRead).toBe(0);
    const answered = answer(second);
    expect(await backend.tell({ reset: true, answerOnly: null })).toMatchObject({ posts: 0 });
    expect(await answered).toContain("200 OK");
    first.destroy();
    second.destroy();
  });

  it("answers after its latency", async () => {
    await using backend = await Backend.start({ latencyMs: 50 });
    const socket = await connected(backend);
    const startedMs = performance.now();
    socket.write(post("{}"));
    await answer(socket);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(50);
    socket.destroy();
  });
});
