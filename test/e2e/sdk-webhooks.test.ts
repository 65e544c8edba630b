// The official SDK receives the webhooks of a server: it verifies and reads what was really sent, and
// refuses what was changed on the way, is too old, or was signed by somebody else.
import OpenAI, { toFile } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Simulator } from "../../src/simulator/simulator.ts";
import { Receiver } from "../conformance/receiver.ts";
import { batchEnd, createBatch } from "../support/batch-driver.ts";
import { chatLine, SIMULATED_MODEL } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";

const ADMIN_KEY = "the-key-of-the-administrator";
const PROJECT = "shop";
/** Of the SDK: how old a webhook may be. */
const TOLERANCE_SECONDS = 300;

const place = openWorkplace();
const simulator = new Simulator({ models: [SIMULATED_MODEL], outputTokens: 4 });
let server: ServerProcess;
let receiver: Receiver;
let openai: OpenAI;
/** What was received about a batch that completed. */
let body: string;
let headers: Record<string, string>;
let batchId: string;

async function administer<T>(what: string, members: object): Promise<T> {
  const answer = await fetch(`${server.url}/admin/v1/${what}`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(members),
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as T;
}

beforeAll(async () => {
  const { baseUrl } = await simulator.start();
  receiver = await Receiver.start();
  server = await ServerProcess.start({
    folder: place.path("."),
    config: {
      upstreams: [upstream(baseUrl)],
      admin_key: ADMIN_KEY,
      allow_private_addresses: true,
    },
  });
  const { key } = await administer<{ key: string }>("keys", { project: PROJECT });
  const about = { project: PROJECT, url: receiver.url };
  const { secret } = await administer<{ secret: string }>("webhooks", about);
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key, webhookSecret: secret });

  const { customId, url, body: request } = chatLine({ customId: "a", prompt: "Say hi." });
  const line = JSON.stringify({ custom_id: customId, method: "POST", url, body: request });
  const file = await toFile(Buffer.from(`${line}\n`), "input.jsonl");
  const { id: fileId } = await openai.files.create({ file, purpose: "batch" });
  batchId = (await createBatch(openai, fileId)).id;
  const [received] = await receiver.about(batchId);
  body = received!.body;
  headers = Object.fromEntries(
    Object.entries(received!.headers).map(([name, value]) => [name, String(value)]),
  );
});
afterAll(async () => {
  await server?.kill();
  await receiver?.[Symbol.asyncDispose]();
  await simulator.stop();
  place[Symbol.dispose]();
});

describe("client.webhooks", () => {
  it("unwraps an event, with which the batch is retrieved", async () => {
    const event = await openai.webhooks.unwrap(body, headers);
    expect(event).toMatchObject({ object: "event", type: "batch.completed" });
    if (event.type !== "batch.completed") throw new Error(event.type);
    expect(event.data.id).toBe(batchId);
    expect(await batchEnd(openai, event.data.id)).toMatchObject({ status: "completed" });
  });

  it("verifies the signature alone", async () => {
    await expect(openai.webhooks.verifySignature(body, headers)).resolves.toBeUndefined();
  });

  it.each<[string, (text: string) => string, (sent: Record<string, string>) => object]>([
    ["a changed body", (text) => text.replace("completed", "failed"), () => ({})],
    ["another id", same, () => ({ "webhook-id": "wh_other" })],
    ["another time", same, (sent) => ({ "webhook-timestamp": earlier(sent, 1) })],
    ["no signature", same, () => ({ "webhook-signature": "" })],
  ])("refuses %s", async (_what, changedBody, changes) => {
    const tampered = { ...headers, ...changes(headers) };
    await expect(openai.webhooks.unwrap(changedBody(body), tampered)).rejects.toBeInstanceOf(
      OpenAI.InvalidWebhookSignatureError,
    );
  });

  it("refuses what is too old, though its signature is right", async () => {
    await expect(openai.webhooks.unwrap(body, headers, undefined, -60)).rejects.toThrow(/old/);
  });

  it("refuses another secret", async () => {
    const other = `whsec_${Buffer.alloc(32).toString("base64")}`;
    const verified = openai.webhooks.verifySignature(body, headers, other, TOLERANCE_SECONDS);
    await expect(verified).rejects.toBeInstanceOf(OpenAI.InvalidWebhookSignatureError);
  });
});

function same(text: string): string {
  return text;
}

function earlier(sent: Record<string, string>, seconds: number): string {
  return String(Number(sent["webhook-timestamp"]) - seconds);
}
