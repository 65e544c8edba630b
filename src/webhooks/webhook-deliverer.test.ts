// The deliverer over the outbox of a real Store, with receivers on real connections.
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { answer, type Script, ScriptedBackend } from "../../test/support/scripted-backend.ts";
import { until } from "../../test/support/until.ts";
import { newDeliveryId, newEventId, newWebhookId } from "../core/ids.ts";
import type { Store } from "../core/store.ts";
import { WEBHOOK_RETRY_MS, type WebhookDelivery } from "../core/webhook.ts";
import { createLog } from "../observability/log.ts";
import { type Metrics, createMetrics } from "../observability/metrics.ts";
import { openSqliteStore } from "../storage/sql/sqlite.ts";
import { WebhookDeliverer, type WebhookDelivererOptions } from "./webhook-deliverer.ts";

const SECRET = `whsec_${Buffer.from("a secret of two dozen bytes").toString("base64")}`;
const QUERY = "key=s3cret-in-the-query";
const NEVER_MS = 1_000_000_000;

let cleanup: AsyncDisposableStack;
let clock: FakeClock;
let store: Store;
let logged: string[];
let metrics: Metrics;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  clock = new FakeClock();
  store = await openSqliteStore({ path: ":memory:", clock });
  logged = [];
  metrics = createMetrics(store.batches);
});

afterEach(async () => {
  await cleanup.disposeAsync();
  await store.close();
  if (/s3cret|whsec_/.test(logged.join(""))) throw new Error("a secret is in the log");
});

/** A deliverer that looks for work when it is woken, and then only when the test says so. */
function delivererWith(options: Partial<WebhookDelivererOptions> = {}): WebhookDeliverer {
  const deliverer = new WebhookDeliverer({
    store: store.webhooks,
    clock,
    log: createLog("info", { write: (line) => logged.push(line) }),
    metrics,
    unseal: (sealed) => sealed.replace("sealed:", ""),
    allowPrivateAddresses: true,
    pollMs: NEVER_MS,
    ...options,
  });
  cleanup.defer(() => deliverer.stop());
  return deliverer;
}

/** Attempts by what came of them. */
async function counted(): Promise<Record<string, number>> {
  const { values } = await metrics.webhookAttempts.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
}

async function receiverThat(onPost?: Script["onPost"]): Promise<ScriptedBackend> {
  return cleanup.use(await ScriptedBackend.start(onPost ? { onPost } : {}));
}

const accepting = () => receiverThat(({ response }) => answer(response, 200, ""));
const answering = (status: number, headers: Record<string, string> = {}) =>
  receiverThat(({ response }) => answer(response, status, "", headers));

async function webhookTo(
  { baseUrl }: ScriptedBackend,
  sealedSecret = `sealed:${SECRET}`,
): Promise<string> {
  const id = newWebhookId();
  const url = `${baseUrl}/hook?${QUERY}`;
  const events = ["batch.completed"];
  const createdAt = clock.now();
  const about = {
    id,
    projectId: "default",
    name: "a",
    url,
    events,
    createdAt,
    updatedAt: createdAt,
  };
  const secret = { sealedSecret, secretHint: "", previousSecret: null };
  await store.webhooks.insert({ ...about, ...secret });
  return id;
}

/** Adds an event for the webhook; answers how its delivery is asked for. */
async function eventFor(webhookId: string): Promise<() => Promise<WebhookDelivery>> {
  const id = newDeliveryId();
  await store.webhooks.addDelivery({
    id,
    webhookId,
    eventId: newEventId(),
    eventType: "batch.completed",
    objectId: "batch_1",
    createdAt: clock.now(),
  });
  return async () => {
    const deliveries = await store.webhooks.deliveries(webhookId, 1_000);
    return deliveries.find((delivery) => delivery.id === id)!;
  };
}

type Look = () => Promise<WebhookDelivery>;

/** The delivery once so many attempts have ended. */
const afterAttempt = (look: Look, attempt: number): Promise<WebhookDelivery> =>
  until(`the end of attempt ${attempt}`, async () => {
    const delivery = await look();
    // While an attempt is under way, its claim is all there is to see of it.
    const isRecorded = delivery.lastAttemptAt === clock.now() && delivery.attempts === attempt;
    return isRecorded && delivery;
  });

const delivered = (look: Look): Promise<WebhookDelivery> =>
  until("the delivery", async () => {
    const delivery = await look();
    return delivery.deliveredAt !== null && delivery;
  });

/** Wakes the deliverer and comes back when it has looked at everything due. */
async function lookedAround(deliverer: WebhookDeliverer, marker: string): Promise<void> {
  const look = await eventFor(marker);
  deliverer.wake();
  await delivered(look);
}

describe("an event", () => {
  it("is sent at once when woken, recorded, and not sent again", async () => {
    const [receiver, other] = [await accepting(), await accepting()];
    const look = await eventFor(await webhookTo(receiver));
    const deliverer = delivererWith();
    deliverer.start();
    expect(await delivered(look)).toMatchObject({
      attempts: 1,
      deliveredAt: clock.now(),
      lastAttemptAt: clock.now(),
      lastStatus: 200,
      lastError: null,
      nextAttemptAt: null,
    });
    clock.pass(WEBHOOK_RETRY_MS);
    await lookedAround(deliverer, await webhookTo(other));
    expect(receiver.received).toHaveLength(1);
  });

  it("is found without being woken", async () => {
    const receiver = await accepting();
    const webhookId = await webhookTo(receiver);
    delivererWith({ pollMs: 5 }).start();
    for (let count = 0; count < 3; count++) await delivered(await eventFor(webhookId));
    expect(receiver.received).toHaveLength(3);
  });

  it("goes to every webhook that has it, whatever becomes of the others", async () => {
    const [good, bad, unsigned] = [await accepting(), await answering(500), await accepting()];
    const looks = [
      await eventFor(await webhookTo(bad)),
      await eventFor(await webhookTo(unsigned, "sealed:whsec_?")),
      await eventFor(await webhookTo(good)),
    ] as const;
    delivererWith().start();
    await delivered(looks[2]);
    const [refused, notSent] = [await afterAttempt(looks[0], 1), await afterAttempt(looks[1], 1)];
    expect(refused).toMatchObject({ lastStatus: 500, lastError: "The receiver answered 500." });
    expect(notSent).toMatchObject({
      lastStatus: null,
      lastError: expect.stringContaining("The signing secret can't be read"),
      nextAttemptAt: expect.any(Number),
    });
    expect(unsigned.connections).toBe(0);
  });

  it("whose webhook is deleted on the way is no error", async () => {
    const [receiver, other] = [await receiverThat(), await accepting()];
    const webhookId = await webhookTo(receiver);
    await eventFor(webhookId);
    const deliverer = delivererWith();
    deliverer.start();
    const { response } = await receiver.post();
    await store.webhooks.delete(webhookId);
    answer(response, 200, "");
    await lookedAround(deliverer, await webhookTo(other));
    expect(logged).toEqual([]);
  });
});

describe("a delivery that failed", () => {
  it("is sent again under the same id after pauses that grow", async () => {
    const [receiver, other] = [await answering(500), await accepting()];
    const [look, marker] = [await eventFor(await webhookTo(receiver)), await webhookTo(other)];
    const deliverer = delivererWith();
    const expected: { id: string; timestamp: string }[] = [];
    const fullPauses = [5_000, 10_000, 20_000, 40_000];
    for (const [index, fullMs] of fullPauses.entries()) {
      deliverer.wake();
      const { id, nextAttemptAt } = await afterAttempt(look, index + 1);
      expected.push({ id, timestamp: String(Math.floor(clock.now() / 1_000)) });
      const pauseMs = nextAttemptAt! - clock.now();
      expect(pauseMs).toBeGreaterThanOrEqual(fullMs / 2);
      expect(pauseMs).toBeLessThanOrEqual(fullMs);
      clock.pass(pauseMs - 1);
      await lookedAround(deliverer, marker);
      expect(receiver.received).toHaveLength(index + 1);
      clock.pass(1);
    }
    const sent = receiver.received.map(({ request: { headers } }) => ({
      id: headers["webhook-id"],
      timestamp: headers["webhook-timestamp"],
    }));
    expect(sent).toEqual(expected);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    receiver.script = { onPost: ({ response }) => answer(response, 204, "") };
    deliverer.wake();
    expect(await delivered(look)).toMatchObject({ attempts: 5, lastStatus: 204, lastError: null });
    expect(logged).toEqual([]);
    expect(await counted()).toMatchObject({ failed: 4 });
  });

  it("waits as long as the receiver asks for", async () => {
    const look = await eventFor(await webhookTo(await answering(503, { "retry-after": "300" })));
    delivererWith().start();
    const { nextAttemptAt } = await afterAttempt(look, 1);
    expect(nextAttemptAt).toBe(clock.now() + 300_000);
  });

  it("is given up after three days, which is logged once", async () => {
    const look = await eventFor(await webhookTo(await answering(500)));
    clock.pass(WEBHOOK_RETRY_MS - 1_000);
    const deliverer = delivererWith();
    deliverer.start();
    const { id, webhookId, ...rest } = await afterAttempt(look, 1);
    const lastError = "The receiver answered 500.";
    expect(rest).toMatchObject({ nextAttemptAt: null, deliveredAt: null, lastError });
    await deliverer.stop();
    expect(await counted()).toEqual({ given_up: 1 });
    expect(logged.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        level: "warn",
        msg: "webhook delivery given up",
        delivery_id: id,
        webhook_id: webhookId,
        object_id: "batch_1",
        status: 500,
        error: lastError,
      }),
    ]);
  });

  it("is tried once even if the server was away for longer than that", async () => {
    const look = await eventFor(await webhookTo(await accepting()));
    clock.pass(2 * WEBHOOK_RETRY_MS);
    delivererWith().start();
    expect(await delivered(look)).toMatchObject({ attempts: 1 });
  });

  it("is given up at once when the receiver is gone for good (410)", async () => {
    const look = await eventFor(await webhookTo(await answering(410)));
    delivererWith().start();
    const outcome = { nextAttemptAt: null, deliveredAt: null, lastStatus: 410 };
    expect(await afterAttempt(look, 1)).toMatchObject(outcome);
  });
});

describe("a slow receiver", () => {
  it("has few attempts at once, and holds up nobody else, however much waits for it", async () => {
    const [slow, quick] = [await receiverThat(), await accepting()];
    const [slowId, quickId] = [await webhookTo(slow), await webhookTo(quick)];
    for (let count = 0; count < 40; count++) await eventFor(slowId);
    clock.pass(1);
    const looks = [await eventFor(quickId), await eventFor(quickId)] as const;
    const deliverer = delivererWith();
    deliverer.start();
    for (const look of looks) await delivered(look);
    await slow.post(3);
    await lookedAround(deliverer, quickId);
    expect(slow.received).toHaveLength(4);
  });

  it("gets its turn again only after the others that wait", async () => {
    const arrivals: { name: string; response: ServerResponse }[] = [];
    for (const name of ["a", "b", "c", "d", "e"]) {
      const receiver = await receiverThat(({ response }) => arrivals.push({ name, response }));
      const webhookId = await webhookTo(receiver);
      for (let count = 0; count < 8; count++) await eventFor(webhookId);
      clock.pass(1);
    }
    delivererWith().start();
    const names = async (count: number) => {
      await until(`${count} requests`, () => arrivals.length >= count, { timeoutMs: 5_000 });
      return arrivals.map(({ name }) => name);
    };
    // All places are taken by the four whose events are older.
    expect((await names(16)).toSorted().join("")).toBe("aaaabbbbccccdddd");
    for (const { name, response } of arrivals) if (name === "a") answer(response, 200, "");
    expect((await names(17))[16]).toBe("e");
    expect((await names(20)).slice(17).join("")).toBe("aaa");
  });
});

describe("an attempt that was cut", () => {
  it("by a stop is made again under the same id when its claim is over", async () => {
    const [receiver, other] = [await receiverThat(), await accepting()];
    const look = await eventFor(await webhookTo(receiver));
    const first = delivererWith();
    first.start();
    await receiver.post();
    await first.stop();
    expect(await look()).toMatchObject({ attempts: 1, lastAttemptAt: null, deliveredAt: null });

    receiver.script = { onPost: ({ response }) => answer(response, 200, "") };
    const second = delivererWith();
    await lookedAround(second, await webhookTo(other));
    expect(receiver.received).toHaveLength(1);
    clock.pass(60_000);
    second.wake();
    const { id } = await delivered(look);
    const ids = receiver.received.map(({ request }) => request.headers["webhook-id"]);
    expect(ids).toEqual([id, id]);
    expect(logged).toEqual([]);
  });

  it("by a crash is made again at once where the dead process is known to be dead", async () => {
    const receiver = await accepting();
    const look = await eventFor(await webhookTo(receiver));
    expect(await store.webhooks.claimDue(clock.now(), 60_000, 1)).toHaveLength(1);
    await store.voidLeases();
    delivererWith().start();
    expect(await delivered(look)).toMatchObject({ attempts: 2 });
    expect(receiver.received).toHaveLength(1);
  });
});

describe("a stop", () => {
  it("ends the looking around", async () => {
    const receiver = await accepting();
    const webhookId = await webhookTo(receiver);
    const deliverer = delivererWith({ pollMs: 1 });
    deliverer.start();
    await delivered(await eventFor(webhookId));
    await deliverer.stop();
    await eventFor(webhookId);
    deliverer.wake();
    await deliverer.stop();
    expect(receiver.received).toHaveLength(1);
  });
});

it("a Store that fails is logged once and asked again, not at once", async () => {
  let asked = 0;
  const failing = {
    ...store.webhooks,
    claimDue: () => (++asked < 3 ? Promise.reject(new Error("away")) : Promise.resolve([])),
  };
  const deliverer = delivererWith({ store: failing });
  for (const times of [1, 2, 3]) {
    deliverer.wake();
    await until("it is asked", () => asked === times);
  }
  await until("the last line", () => logged.length > 1);
  await deliverer.stop();
  expect(asked).toBe(3);
  expect(logged.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: "error", err: { message: "away" } },
    { level: "info", msg: "webhook deliveries are looked for again" },
  ]);
});
