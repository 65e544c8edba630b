// Webhooks over whole processes: every end of a batch arrives at least once, verified by the official SDK,
// whatever is killed or down between the change of the status and the delivery.
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { openAdministration } from "../../src/main.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { batchEnd, createBatch, upload } from "../support/batch-driver.ts";
import { type InputLine, chatLine, writeInputFile } from "../support/input-file.ts";
import { type ServerOptions, ServerProcess, upstream } from "../support/server-process.ts";
import { until } from "../support/until.ts";
import { WebhookReceiver } from "../support/webhook-receiver.ts";
import { type Workplace, openWorkplace } from "../support/workplace.ts";

const KILLS = 6;

let place: Workplace;
let simulator: Simulator;
let receiver: WebhookReceiver;
let options: ServerOptions;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  place = openWorkplace();
  simulator = new Simulator();
  receiver = new WebhookReceiver();
  await receiver.up();
  const { baseUrl } = await simulator.start();
  options = {
    folder: place.path("."),
    config: { upstreams: [upstream(baseUrl)], allow_private_addresses: true },
  };
  receiver.secret = await makeWebhook();
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
  await receiver.down();
  await simulator.stop();
  place[Symbol.dispose]();
});

/** A server that ends with the test, if not before. */
async function startServer(): Promise<ServerProcess> {
  const server = await ServerProcess.start(options);
  servers.push(server);
  return server;
}

/** As `offpeak webhooks create` does it. */
async function makeWebhook(): Promise<string> {
  const flags = {
    "--data-dir": ServerProcess.dataDir(options.folder),
    "--allow-private-addresses": true as const,
  };
  const config = loadConfig({ flags, env: {}, readFile: () => undefined, upstreamsOptional: true });
  await using administration = await openAdministration(config);
  const webhook = { projectId: "default", url: receiver.url, events: undefined };
  return (await administration.webhooks.create(webhook)).secret;
}

async function startBatch(
  { openai }: ServerProcess,
  lines: InputLine[] = goodLines(),
): Promise<string> {
  const path = await writeInputFile(place.path("input.jsonl"), lines);
  return (await createBatch(openai, await upload(openai, path))).id;
}

function goodLines(): InputLine[] {
  return ["a", "b", "c"].map((prompt) => chatLine({ customId: prompt, prompt }));
}

/** Waits until the end of the batch has been told. */
async function told(batchId: string) {
  return until(`the event of ${batchId}`, () =>
    receiver.accepted.find(({ objectId }) => objectId === batchId),
  );
}

test("completed, failed and cancelled batches are told, each once", async () => {
  const server = await startServer();
  const completed = await startBatch(server);
  const failed = await startBatch(server, [{ customId: "a", url: "/v1/embeddings", body: {} }]);
  expect(await told(completed)).toMatchObject({ type: "batch.completed" });
  expect(await told(failed)).toMatchObject({ type: "batch.failed" });
  await simulator.setMode("hang");
  const cancelled = await startBatch(server);
  await server.openai.batches.cancel(cancelled);
  expect(await told(cancelled)).toMatchObject({ type: "batch.cancelled" });
  expect(receiver.attempts).toHaveLength(3);
  expect(receiver.unverified).toEqual([]);
});

test("a SIGKILL while a delivery is under way has it sent again, under the same id", async () => {
  let server = await startServer();
  for (let kills = 0; kills < KILLS; kills++) {
    receiver.mode = "hang";
    const batchId = await startBatch(server);
    // The status has changed, and nobody has said 200 yet: so every kill bites.
    const first = await until("the first attempt", () =>
      receiver.attempts.find(({ objectId }) => objectId === batchId),
    );
    await server.kill();
    receiver.mode = "accept";
    server = await startServer();
    expect(await told(batchId)).toEqual(first);
  }
  expect(receiver.unverified).toEqual([]);
  expect(new Set(receiver.accepted.map(({ webhookId }) => webhookId)).size).toBe(KILLS);
});

test("what a receiver misses while it is down it gets later, also from the next process", async () => {
  await receiver.down();
  const first = await startServer();
  const batchId = await startBatch(first);
  expect((await batchEnd(first.openai, batchId)).status).toBe("completed");
  await first.kill();
  await receiver.up();
  await startServer();
  expect(await told(batchId)).toMatchObject({ type: "batch.completed" });
});

test("a receiver that fails is asked again", async () => {
  receiver.mode = 500;
  const server = await startServer();
  const batchId = await startBatch(server);
  await until("a failed attempt", () => receiver.attempts.length > 0);
  receiver.mode = "accept";
  const { webhookId } = await told(batchId);
  expect(webhookId).toBe(receiver.attempts[0]?.webhookId);
});
