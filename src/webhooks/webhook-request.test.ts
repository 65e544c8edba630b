// One attempt against receivers of every kind, on real connections.
import OpenAI from "openai";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answer, type Script, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import { until } from "../../test/support/until.ts";
import { systemClock } from "../core/clock.ts";
import type { DueDelivery } from "../core/webhook-store.ts";
import { sendWebhook, type WebhookRequestOptions, type WebhookResult } from "./webhook-request.ts";

const SECRET = `whsec_${Buffer.from("a secret of two dozen bytes").toString("base64")}`;
const CREATED_AT = Date.UTC(2026, 0, 1);
/** Nothing that is told about an attempt holds it. */
const QUERY = "key=s3cret-in-the-query";

let cleanup: AsyncDisposableStack;
beforeEach(() => (cleanup = new AsyncDisposableStack()));
afterEach(() => cleanup.disposeAsync());

async function receiverThat(onPost: Script["onPost"]): Promise<ScriptedBackend> {
  return cleanup.use(await ScriptedBackend.start(onPost ? { onPost } : {}));
}

function dueAt(url: string): DueDelivery {
  return {
    webhook: {
      id: "whe_1",
      projectId: "default",
      name: "a",
      url,
      events: ["batch.completed"],
      createdAt: 0,
      updatedAt: 0,
      sealedSecret: "sealed",
      secretHint: "",
      previousSecret: null,
    },
    delivery: {
      id: "wh_1",
      webhookId: "whe_1",
      eventId: "evt_1",
      eventType: "batch.completed",
      objectId: "batch_1",
      createdAt: CREATED_AT,
      attempts: 1,
      nextAttemptAt: CREATED_AT,
      deliveredAt: null,
      lastAttemptAt: null,
      lastStatus: null,
      lastError: null,
    },
  };
}

/** Sends to the URL, and holds what is told to what may be told. */
async function send(
  to: ScriptedBackend | string,
  options: Partial<WebhookRequestOptions> = {},
  stopping: AbortSignal = new AbortController().signal,
): Promise<WebhookResult> {
  const url = typeof to === "string" ? to : `${to.baseUrl}/hook?${QUERY}`;
  const unseal = (sealed: string) => (sealed === "sealed" ? SECRET : "");
  const always = { clock: systemClock, unseal, allowPrivateAddresses: true, timeoutMs: 10_000 };
  const result = await sendWebhook(dueAt(url), { ...always, ...options }, stopping);
  expect(result.error ?? "").not.toMatch(/s3cret|whsec_|sealed"|[\r\n]/);
  expect((result.error ?? "").length).toBeLessThanOrEqual(300);
  return result;
}

describe("the request", () => {
  it("is taken by the official SDK as what it is", async () => {
    const receiver = await receiverThat(({ response }) => answer(response, 200, ""));
    expect(await send(receiver)).toEqual({ status: 200, error: null, retryAfterMs: null });
    const { request, body } = await receiver.post();
    const { webhooks } = new OpenAI({ apiKey: "x" });
    expect(await webhooks.unwrap(body, request.headers as Record<string, string>, SECRET)).toEqual({
      id: "evt_1",
      object: "event",
      created_at: CREATED_AT / 1_000,
      type: "batch.completed",
      data: { id: "batch_1" },
    });
    expect(request.url).toBe(`/v1/hook?${QUERY}`);
    expect(request.headers).toMatchObject({
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "user-agent": "offpeak",
      "webhook-id": "wh_1",
      "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
      "webhook-signature": expect.stringMatching(/^v1,[\w+/]{43}=$/),
    });
  });

  it("is not taken by the SDK with another secret or another body", async () => {
    const receiver = await receiverThat(({ response }) => answer(response, 200, ""));
    await send(receiver);
    const { request, body } = await receiver.post();
    const headers = request.headers as Record<string, string>;
    const { webhooks } = new OpenAI({ apiKey: "x" });
    const other = `whsec_${Buffer.from("another").toString("base64")}`;
    await expect(webhooks.unwrap(body, headers, other)).rejects.toThrow("signature");
    await expect(webhooks.unwrap(`${body} `, headers, SECRET)).rejects.toThrow("signature");
  });
});

describe("an answer", () => {
  it.each([200, 201, 202, 204, 299])("%i is success", async (status) => {
    const receiver = await receiverThat(({ response }) => response.writeHead(status).end());
    expect(await send(receiver)).toEqual({ status, error: null, retryAfterMs: null });
  });

  it.each([400, 401, 404, 409, 429, 500, 503])("%i is failure", async (status) => {
    const receiver = await receiverThat(({ response }) => answer(response, status, "no"));
    const error = `The receiver answered ${status}.`;
    expect(await send(receiver)).toEqual({ status, error, retryAfterMs: null });
  });

  it.each([300, 301, 302, 303, 307, 308])("%i is failure, and is not followed", async (status) => {
    const receiver = await receiverThat(({ response }) =>
      answer(response, status, "", { location: `/v1/elsewhere?${QUERY}` }),
    );
    const result = await send(receiver);
    expect(result).toMatchObject({ status, error: expect.stringContaining("are not followed") });
    expect(receiver.received).toHaveLength(1);
  });

  it("of 410 says that the event is not wanted", async () => {
    const receiver = await receiverThat(({ response }) => answer(response, 410, ""));
    const error = "The receiver answered 410: it wants this event no more.";
    expect(await send(receiver)).toEqual({ status: 410, error, retryAfterMs: null });
  });

  it("of 429 or 503 may ask to wait, and no other", async () => {
    for (const [status, retryAfterMs] of [
      [429, 90_000],
      [503, 90_000],
      [500, null],
      [200, null],
    ] as const) {
      const receiver = await receiverThat(({ response }) =>
        answer(response, status, "", { "retry-after": "90" }),
      );
      expect(await send(receiver)).toMatchObject({ status, retryAfterMs });
    }
  });

  it("is read no further than its beginning, however long", async () => {
    let closed = false;
    const receiver = await receiverThat(({ response }) => {
      const chunk = Buffer.alloc(64 * 1_024, "x");
      const write = () => {
        while (response.write(chunk));
      };
      response.on("drain", write).on("close", () => (closed = true));
      response.writeHead(200);
      write();
    });
    expect(await send(receiver)).toEqual({ status: 200, error: null, retryAfterMs: null });
    await until("the end of the connection", () => closed);
  });
});

describe("a receiver that", () => {
  it("is down", async () => {
    const receiver = await receiverThat(undefined);
    receiver.die();
    const result = await send(receiver);
    expect(result).toMatchObject({
      status: null,
      error: expect.stringMatching(/ECONNREFUSED 127/),
    });
  });

  it("never answers", async () => {
    const receiver = await receiverThat(undefined);
    const error = "The receiver gave no complete answer within 0.05 s.";
    const result = await send(receiver, { timeoutMs: 50 });
    expect(result).toEqual({ status: null, error, retryAfterMs: null });
    await until("the end of the connection", () => receiver.open === 0);
  });

  it("never ends its answer", async () => {
    const receiver = await receiverThat(({ response }) => response.writeHead(200).write("x"));
    const error = "The receiver gave no complete answer within 0.2 s.";
    const result = await send(receiver, { timeoutMs: 200 });
    expect(result).toEqual({ status: 200, error, retryAfterMs: null });
  });

  it("drips headers without end", async () => {
    const receiver = await receiverThat(({ socket }) => {
      socket.write("HTTP/1.1 103 Early Hints\r\n");
      const dripping = setInterval(
        () => socket.write("x: y\r\n\r\nHTTP/1.1 103 Early Hints\r\n"),
        5,
      );
      socket.on("close", () => clearInterval(dripping));
    });
    const error = "The receiver gave no complete answer within 0.2 s.";
    const result = await send(receiver, { timeoutMs: 200 });
    expect(result).toEqual({ status: null, error, retryAfterMs: null });
  });

  it("closes without an answer", async () => {
    const receiver = await receiverThat(({ socket }) => socket.destroy());
    const result = await send(receiver);
    expect(result).toMatchObject({ status: null, error: expect.stringMatching(/closed|reset/i) });
  });

  it("closes in the middle of its answer", async () => {
    const receiver = await receiverThat(({ response, socket }) => {
      response.writeHead(200, { "content-length": "10" }).write("x", () => socket.destroy());
    });
    expect(await send(receiver)).toMatchObject({ status: 200, error: expect.any(String) });
  });

  it.each([
    ["garbage", "\u0000\u0001 garbage\r\n\r\n"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["endless headers", `HTTP/1.1 200 OK\r\n${`x: ${"y".repeat(1_000)}\r\n`.repeat(100)}\r\n`],
    ["a change of protocol", "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
  ])("answers %s", async (_what, bytes) => {
    const receiver = await receiverThat(({ socket }) => void socket.write(bytes));
    expect(await send(receiver)).toMatchObject({ status: null, error: expect.any(String) });
  });

  it("speaks no TLS under an https URL", async () => {
    const receiver = await receiverThat(undefined);
    const url = `${receiver.baseUrl.replace("http:", "https:")}?${QUERY}`;
    const result = await send(url);
    expect(result).toMatchObject({ status: null, error: expect.stringMatching(/SSL|TLS|EPROTO/) });
  });
});

describe("nothing is sent", () => {
  it("to a private address that is not allowed (any more)", async () => {
    const receiver = await receiverThat(undefined);
    const https = receiver.baseUrl.replace("http:", "https:");
    for (const url of [receiver.baseUrl, https, https.replace("127.0.0.1", "localhost")]) {
      const result = await send(`${url}?${QUERY}`, { allowPrivateAddresses: false });
      expect(result.status).toBe(null);
      expect(result.error).toContain("allow_private_addresses");
    }
    expect(receiver.connections).toBe(0);
  });

  it.each([
    [
      "can't be unsealed",
      () => {
        throw new Error("it was sealed under another key");
      },
      "another key",
    ],
    ["is empty", () => "", "empty"],
    ["is none", () => "whsec_no base64!", "incorrect characters"],
  ])("when the secret %s", async (_what, unseal, reason) => {
    const receiver = await receiverThat(undefined);
    const result = await send(receiver, { unseal });
    expect(result.error).toContain("The signing secret can't be read: ");
    expect(result.error).toContain(reason);
    expect(receiver.connections).toBe(0);
  });
});

describe("a stop", () => {
  it("cuts the attempt, which then has no result", async () => {
    const receiver = await receiverThat(undefined);
    const stopping = new AbortController();
    const sent = send(receiver, {}, stopping.signal);
    await receiver.post();
    stopping.abort(new Error("stopping"));
    await expect(sent).rejects.toThrow("stopping");
    await until("the end of the connection", () => receiver.open === 0);
  });

  it("before the attempt lets nothing be sent", async () => {
    const receiver = await receiverThat(undefined);
    await expect(send(receiver, {}, AbortSignal.abort(new Error("stopped")))).rejects.toThrow(
      "stopped",
    );
    expect(receiver.connections).toBe(0);
  });
});
