// The official SDK makes the webhook endpoints of a server and receives what it sends: it verifies and reads
// what was really sent, and refuses what was changed on the way, is too old, or was signed by somebody else.
import OpenAI, { NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { type ReceivedWebhook, Receiver } from "../conformance/receiver.ts";
import { batchEnd, createBatch } from "../support/batch-driver.ts";
import { chatLine, SIMULATED_MODEL } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";

/** Of the SDK: how old a webhook may be. */
const TOLERANCE_SECONDS = 300;

const place = openWorkplace();
const simulator = new Simulator({ models: [SIMULATED_MODEL], outputTokens: 4 });
let server: ServerProcess;
let openai: OpenAI;

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  const config = { upstreams: [upstream(baseUrl)], allow_private_addresses: true };
  server = await ServerProcess.start({ folder: place.path("."), config });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "any", maxRetries: 0 });
});
afterAll(async () => {
  await server?.kill();
  await simulator.stop();
  place[Symbol.dispose]();
});

function makeEndpoint(
  { url }: Receiver,
  events: OpenAI.Webhooks.WebhookCreateParams["event_types"] = ["batch.completed"],
) {
  return openai.webhooks.create({ name: "nightly", url, event_types: events });
}

/** The id of a batch of one line. Only POST runs; with another method the batch fails. */
async function runBatch(method: "POST" | "PUT" = "POST"): Promise<string> {
  const { customId, url, body } = chatLine({ customId: "a", prompt: "Say hi." });
  const line = JSON.stringify({ custom_id: customId, method, url, body });
  const file = await toFile(Buffer.from(`${line}\n`), "input.jsonl");
  const { id: fileId } = await openai.files.create({ file, purpose: "batch" });
  const { id } = await createBatch(openai, fileId);
  await batchEnd(openai, id, { pauseMs: 20 });
  return id;
}

async function delivery(receiver: Receiver, batchId: string): Promise<ReceivedWebhook> {
  const [received] = await receiver.about(batchId);
  return received!;
}

function verified({ body, headers }: ReceivedWebhook, secret: string): Promise<void> {
  return openai.webhooks.verifySignature(body, headers, secret);
}

describe("a delivery about a batch", () => {
  let receiver: Receiver;
  let secret: string;
  let batchId: string;
  let body: string;
  let headers: Record<string, string>;

  beforeAll(async () => {
    receiver = await Receiver.start();
    ({ signing_secret: secret } = await makeEndpoint(receiver));
    batchId = await runBatch();
    ({ body, headers } = await delivery(receiver, batchId));
  });
  afterAll(() => receiver?.[Symbol.asyncDispose]());

  it("is unwrapped with the secret that create gave, and the batch is retrieved", async () => {
    const event = await openai.webhooks.unwrap(body, headers, secret);
    expect(event).toMatchObject({ object: "event", type: "batch.completed" });
    if (event.type !== "batch.completed") throw new Error(event.type);
    expect(event.data.id).toBe(batchId);
    expect(await openai.batches.retrieve(event.data.id)).toMatchObject({ status: "completed" });
  });

  it("is verified by its signature alone", async () => {
    await expect(openai.webhooks.verifySignature(body, headers, secret)).resolves.toBeUndefined();
  });

  it.each<[string, (text: string) => string, (sent: Record<string, string>) => object]>([
    ["a changed body", (text) => text.replace("completed", "failed"), () => ({})],
    ["another id", same, () => ({ "webhook-id": "wh_other" })],
    ["another time", same, (sent) => ({ "webhook-timestamp": earlier(sent, 1) })],
    ["no signature", same, () => ({ "webhook-signature": "" })],
  ])("is refused with %s", async (_what, changedBody, changes) => {
    const tampered = { ...headers, ...changes(headers) };
    await expect(
      openai.webhooks.unwrap(changedBody(body), tampered, secret),
    ).rejects.toBeInstanceOf(OpenAI.InvalidWebhookSignatureError);
  });

  it("is refused when it is too old, though its signature is right", async () => {
    await expect(openai.webhooks.unwrap(body, headers, secret, -60)).rejects.toThrow(/old/);
  });

  it("is refused with another secret", async () => {
    const other = `whsec_${Buffer.alloc(32).toString("base64")}`;
    const checked = openai.webhooks.verifySignature(body, headers, other, TOLERANCE_SECONDS);
    await expect(checked).rejects.toBeInstanceOf(OpenAI.InvalidWebhookSignatureError);
  });
});

describe("a secret that is rotated", () => {
  it("goes on for a while beside the new one when it is kept", async () => {
    await using receiver = await Receiver.start();
    const { id, signing_secret: old } = await makeEndpoint(receiver);
    const { signing_secret: secret } = await openai.webhooks.rotateSecret(id, {
      keep_old_secret_active_for_24_hours: true,
    });
    const received = await delivery(receiver, await runBatch());
    await expect(verified(received, old)).resolves.toBeUndefined();
    await expect(verified(received, secret)).resolves.toBeUndefined();
    await openai.webhooks.delete(id);
  });

  it("ends at once when it is not", async () => {
    await using receiver = await Receiver.start();
    const { id, signing_secret: old } = await makeEndpoint(receiver);
    const { signing_secret: secret } = await openai.webhooks.rotateSecret(id);
    const received = await delivery(receiver, await runBatch());
    await expect(verified(received, old)).rejects.toThrow(OpenAI.InvalidWebhookSignatureError);
    await expect(verified(received, secret)).resolves.toBeUndefined();
    await openai.webhooks.delete(id);
  });
});

describe("a test", () => {
  it.each([200, 500])(
    "tells that the receiver answered %i, and its event verifies",
    async (status) => {
      await using receiver = await Receiver.start();
      receiver.status = status;
      const { id, signing_secret: secret } = await makeEndpoint(receiver);
      expect(await openai.webhooks.test(id, { event_type: "batch.failed" })).toEqual({
        object: "webhook_endpoint.test",
        webhook_endpoint_id: id,
        event_type: "batch.failed",
        success: true,
        status_code: status,
      });
      const [{ body, headers }] = receiver.received as [ReceivedWebhook];
      expect(await openai.webhooks.unwrap(body, headers, secret)).toMatchObject({
        type: "batch.failed",
      });
      await openai.webhooks.delete(id);
    },
  );

  it("of a receiver that is not there is refused", async () => {
    const receiver = await Receiver.start();
    const { id } = await makeEndpoint(receiver);
    await receiver[Symbol.asyncDispose]();
    await expect(openai.webhooks.test(id, { event_type: "batch.failed" })).rejects.toMatchObject({
      status: 400,
      code: "webhook_test_failed",
    });
    await openai.webhooks.delete(id);
  });
});

describe("an endpoint", () => {
  it("is retrieved and listed as it was made, without its secret", async () => {
    await using receiver = await Receiver.start();
    const { signing_secret: _secret, ...endpoint } = await makeEndpoint(receiver);
    expect(await openai.webhooks.retrieve(endpoint.id)).toEqual(endpoint);
    const listed: OpenAI.Webhooks.WebhookEndpoint[] = [];
    for await (const one of openai.webhooks.list({ limit: 1 })) listed.push(one);
    expect(listed.filter(({ id }) => id === endpoint.id)).toEqual([endpoint]);
    await openai.webhooks.delete(endpoint.id);
  });

  it("gets no more of the events that an update left out", async () => {
    await using receiver = await Receiver.start();
    const { id } = await makeEndpoint(receiver, ["batch.completed", "batch.failed"]);
    const before = await runBatch();
    await delivery(receiver, before);
    const events = { event_types: ["batch.failed" as const] };
    expect(await openai.webhooks.update(id, events)).toMatchObject(events);
    await runBatch();
    const failed = await runBatch("PUT");
    await delivery(receiver, failed);
    expect(receiver.received.map(({ batchId }) => batchId)).toEqual([before, failed]);
    await openai.webhooks.delete(id);
  });

  it("gets nothing once it is deleted", async () => {
    await using receiver = await Receiver.start();
    const [deleted, kept] = [await makeEndpoint(receiver), await makeEndpoint(receiver)];
    const before = await runBatch();
    await receiver.about(before, 2);
    expect(await openai.webhooks.delete(deleted.id)).toEqual({
      id: deleted.id,
      object: "webhook_endpoint.deleted",
      deleted: true,
    });
    await expect(openai.webhooks.retrieve(deleted.id)).rejects.toBeInstanceOf(NotFoundError);
    const [first, second] = [await runBatch(), await runBatch()];
    await verified(await delivery(receiver, first), kept.signing_secret);
    await verified(await delivery(receiver, second), kept.signing_secret);
    expect(receiver.received.map(({ batchId }) => batchId)).toEqual([
      before,
      before,
      first,
      second,
    ]);
    await openai.webhooks.delete(kept.id);
  });
});

it("the event types are those about batches", async () => {
  expect(await openai.webhooks.eventTypes.list()).toEqual({
    object: "list",
    data: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
  });
});

function same(text: string): string {
  return text;
}

function earlier(sent: Record<string, string>, seconds: number): string {
  return String(Number(sent["webhook-timestamp"]) - seconds);
}
