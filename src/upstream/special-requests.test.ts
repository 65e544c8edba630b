// What a request asks for beyond sending a body: another method, another type of content, one certain replica;
// what must not be told of it, and when it must not be sent.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { answer, postRequest, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import type { UpstreamOutcome, UpstreamRequest } from "../core/upstream.ts";
import { HttpUpstream } from "./http-upstream.ts";

let cleanup: AsyncDisposableStack;
beforeEach(() => (cleanup = new AsyncDisposableStack()));
afterEach(() => cleanup.disposeAsync());

async function backendOf(): Promise<ScriptedBackend> {
  const backend = await ScriptedBackend.start({
    onPost: ({ response, request, body }) => {
      answer(response, 200, JSON.stringify([request.headers["content-type"], body]));
    },
    onGet: ({ url, headers }, response) => {
      answer(response, 200, JSON.stringify([url, headers["content-type"] ?? null]));
    },
  });
  cleanup.use(backend);
  return backend;
}

function upstreamOf(backends: readonly { baseUrl: string }[], apiKey: string | null = null) {
  const upstream = new HttpUpstream({
    name: "gpu",
    baseUrls: backends.map(({ baseUrl }) => baseUrl),
    apiKey,
    models: null,
    endpoints: ["/v1/videos"],
    attachments: "multipart",
    requestTimeoutMs: 60_000,
    answerSizeBytes: 1_000_000,
    clock: new FakeClock(),
  });
  cleanup.defer(() => upstream.close());
  return upstream;
}

const send = (upstream: HttpUpstream, change: Partial<UpstreamRequest> = {}) =>
  new Promise<UpstreamOutcome>((resolve) => upstream.send(postRequest("x", change), resolve));

const bodyOf = (outcome: UpstreamOutcome) =>
  outcome.kind === "answer" ? (JSON.parse(Buffer.from(outcome.body).toString()) as unknown) : null;

test("a POST has the type of its body; a GET has neither", async () => {
  const upstream = upstreamOf([await backendOf()]);
  const form = await send(upstream, { contentType: "multipart/form-data; boundary=x" });
  expect(bodyOf(form)).toEqual(["multipart/form-data; boundary=x", "x"]);
  const got = await send(upstream, { method: "GET", path: "/v1/videos/video_1" });
  expect(bodyOf(got)).toEqual(["/v1/videos/video_1", null]);
});

describe("a request for one replica", () => {
  test("goes to it and to no other, and the answer says where it came from", async () => {
    const backends = [await backendOf(), await backendOf(), await backendOf()];
    const upstream = upstreamOf(backends);
    const { baseUrl } = backends[2]!;
    for (let times = 0; times < 3; times++) {
      expect(await send(upstream, { replica: baseUrl })).toMatchObject({ replica: baseUrl });
    }
    expect(backends.map(({ received }) => received.length)).toEqual([0, 0, 3]);
    backends[2]!.die();
    expect((await send(upstream, { replica: baseUrl })).kind).not.toBe("answer");
    expect(await send(upstream, { replica: baseUrl })).toMatchObject({ kind: "unreachable" });
    expect(backends.map(({ received }) => received.length)).toEqual([0, 0, 3]);
  });

  test("that is not configured any more goes to another", async () => {
    const backend = await backendOf();
    const outcome = await send(upstreamOf([backend]), { replica: "http://127.0.0.1:1/v1" });
    expect(outcome).toMatchObject({ kind: "answer", replica: backend.baseUrl });
  });
});

test("a key that can't be sent is an outcome, which does not tell it", async () => {
  const upstream = upstreamOf([await backendOf()], "sk-secret\n");
  const outcome = await send(upstream);
  expect(outcome.kind).toBe("unreachable");
  expect(JSON.stringify([outcome, await upstream.discover()])).not.toContain("secret");
});

describe("a request that may not start any more", () => {
  test("when its connection has opened is not sent; nor on a connection that is open", async () => {
    const backend = await backendOf();
    const upstream = upstreamOf([backend]);
    const asked: number[] = [];
    const mayStart = () => asked.push(backend.received.length) < 0;
    expect(await send(upstream, { mayStart })).toEqual({ kind: "withheld" });
    expect((await send(upstream)).kind).toBe("answer");
    expect(await send(upstream, { mayStart })).toEqual({ kind: "withheld" });
    expect([backend.received.length, asked]).toEqual([1, [0, 1]]);
    expect((await send(upstream, { mayStart: () => true })).kind).toBe("answer");
    expect(backend.received.length).toBe(2);
  });

  test("is not sent to the next replica either, nor again on another connection", async () => {
    const backend = await backendOf();
    const upstream = upstreamOf([{ baseUrl: "http://127.0.0.1:1/v1" }, backend]);
    expect(await send(upstream, { mayStart: () => false })).toEqual({ kind: "withheld" });
    expect(backend.received).toEqual([]);
    let starts = 0;
    const once = () => ++starts === 1;
    expect((await send(upstream)).kind).toBe("answer");
    backend.script.onPost = ({ socket }) => socket.destroy();
    expect(await send(upstream, { mayStart: once })).toEqual({ kind: "withheld" });
    expect([starts, backend.received.length]).toEqual([2, 2]);
  });
});
