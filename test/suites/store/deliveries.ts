// The outbox of webhooks: whose turn it is, what became of attempts, and what is forgotten.

import { expect, it } from "vitest";
import { NotFoundError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import type { WebhookAttempt } from "../../../src/core/webhook-store.ts";
import type { WebhookDelivery } from "../../../src/core/webhook.ts";
import { LEASE_MS, aWebhook } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

function anEvent(id: string, createdAt = 1_000, webhookId = "w") {
  return {
    id,
    webhookId,
    eventId: `event of ${id}`,
    eventType: "batch.completed",
    objectId: "b",
    createdAt,
  };
}

function aDelivery(id: string, change: Partial<WebhookDelivery> = {}): WebhookDelivery {
  return {
    ...anEvent(id),
    attempts: 0,
    nextAttemptAt: 1_000,
    deliveredAt: null,
    lastAttemptAt: null,
    lastStatus: null,
    lastError: null,
    ...change,
  };
}

const delivered = (at: number): WebhookAttempt => ({
  at,
  status: 204,
  error: null,
  nextAttemptAt: null,
});
const failed = (at: number, nextAttemptAt: number | null): WebhookAttempt => ({
  at,
  status: null,
  error: "connection refused",
  nextAttemptAt,
});

async function claim(store: Store, now: number, limit = 10): Promise<string[]> {
  const due = await store.webhooks.claimDue(now, LEASE_MS, limit);
  return due.map(({ delivery }) => delivery.id);
}

export function deliveryCases(open: OpenStore): void {
  /** A webhook and its deliveries. */
  async function waiting(...events: ReturnType<typeof anEvent>[]) {
    const stores = await open();
    await stores.store.webhooks.insert(aWebhook("w"));
    for (const event of events) await stores.store.webhooks.addDelivery(event);
    return stores;
  }

  it("adds a delivery by hand, due at once", async () => {
    const { peer } = await waiting(anEvent("d"));
    expect(await peer.webhooks.deliveries("w", 10)).toEqual([aDelivery("d")]);
  });

  it("adds none for a webhook that there is not", async () => {
    const { store } = await waiting();
    const adding = store.webhooks.addDelivery(anEvent("d", 1_000, "other"));
    await expect(adding).rejects.toThrow(NotFoundError);
    expect(await claim(store, 1_000)).toEqual([]);
  });

  it("hands out what is due with what is needed to send it, and counts the attempt", async () => {
    const { store, peer } = await waiting(anEvent("d"));
    const delivery = aDelivery("d", { attempts: 1, nextAttemptAt: 5_000 + LEASE_MS });
    expect(await store.webhooks.claimDue(5_000, LEASE_MS, 10)).toEqual([
      { delivery, webhook: aWebhook("w") },
    ]);
    expect(await peer.webhooks.deliveries("w", 10)).toEqual([delivery]);
  });

  it("takes the longest due first, up to the limit, and nothing that is not due", async () => {
    const { store } = await waiting(
      anEvent("second", 2_000),
      anEvent("first", 1_000),
      anEvent("third", 3_000),
      anEvent("later", 3_001),
    );
    expect(await claim(store, 999)).toEqual([]);
    expect(await claim(store, 3_000, 2)).toEqual(["first", "second"]);
    expect(await claim(store, 3_000)).toEqual(["third"]);
    expect(await claim(store, 3_001)).toEqual(["later"]);
  });

  it("never gives one to two callers", async () => {
    const { store, peer } = await waiting(
      ...Array.from({ length: 12 }, (_, index) => anEvent(`d${index}`)),
    );
    const taken = await Promise.all(
      Array.from({ length: 6 }, (_, index) => claim(index % 2 === 0 ? store : peer, 1_000, 3)),
    );
    expect(taken.flat()).toHaveLength(12);
    expect(new Set(taken.flat()).size).toBe(12);
  });

  it("makes one due again when nobody says what became of it", async () => {
    const { store } = await waiting(anEvent("d"));
    await claim(store, 1_000);
    expect(await claim(store, 1_000 + LEASE_MS - 1)).toEqual([]);
    const [again] = await store.webhooks.claimDue(1_000 + LEASE_MS, LEASE_MS, 10);
    expect(again!.delivery.attempts).toBe(2);
  });

  it("notes what became of an attempt", async () => {
    const { store } = await waiting(anEvent("d"));
    const shown = async () => (await store.webhooks.deliveries("w", 10))[0];
    await claim(store, 1_000);
    const refused = { at: 1_100, status: 503, error: "answered 503", nextAttemptAt: 6_000 };
    await store.webhooks.recordAttempt("d", 1, refused);
    const afterFailure = aDelivery("d", {
      attempts: 1,
      nextAttemptAt: 6_000,
      lastAttemptAt: 1_100,
      lastStatus: 503,
      lastError: "answered 503",
    });
    expect(await shown()).toEqual(afterFailure);
    expect(await claim(store, 5_999)).toEqual([]);
    expect(await claim(store, 6_000)).toEqual(["d"]);
    await store.webhooks.recordAttempt("d", 2, delivered(6_100));
    expect(await shown()).toEqual(
      aDelivery("d", {
        attempts: 2,
        nextAttemptAt: null,
        deliveredAt: 6_100,
        lastAttemptAt: 6_100,
        lastStatus: 204,
      }),
    );
    expect(await claim(store, Number.MAX_SAFE_INTEGER)).toEqual([]);
  });

  it("gives up without having delivered", async () => {
    const { store } = await waiting(anEvent("d"));
    await claim(store, 1_000);
    await store.webhooks.recordAttempt("d", 1, failed(1_100, null));
    expect(await store.webhooks.deliveries("w", 10)).toEqual([
      aDelivery("d", {
        attempts: 1,
        nextAttemptAt: null,
        lastAttemptAt: 1_100,
        lastError: "connection refused",
      }),
    ]);
    expect(await claim(store, Number.MAX_SAFE_INTEGER)).toEqual([]);
  });

  it("ignores what is said of an attempt that is not the current one, or twice", async () => {
    const { store } = await waiting(anEvent("d"));
    await store.webhooks.recordAttempt("unknown", 1, delivered(1));
    await store.webhooks.recordAttempt("d", 0, delivered(1));
    await claim(store, 1_000);
    await claim(store, 1_000 + LEASE_MS);
    const claimed = await store.webhooks.deliveries("w", 10);
    await store.webhooks.recordAttempt("d", 1, delivered(1_100));
    expect(await store.webhooks.deliveries("w", 10)).toEqual(claimed);
    await store.webhooks.recordAttempt("d", 2, delivered(40_000));
    const ended = await store.webhooks.deliveries("w", 10);
    await store.webhooks.recordAttempt("d", 2, failed(50_000, 60_000));
    expect(await store.webhooks.deliveries("w", 10)).toEqual(ended);
    await store.webhooks.delete("w");
    await store.webhooks.recordAttempt("d", 2, failed(50_000, 60_000));
    expect(await claim(store, 90_000)).toEqual([]);
  });

  it("leaves out the deliveries of webhooks that are excepted", async () => {
    const { store } = await waiting(anEvent("d1"));
    await store.webhooks.insert(aWebhook("w2"));
    await store.webhooks.addDelivery(anEvent("d2", 1_000, "w2"));
    const claimed = await store.webhooks.claimDue(1_000, LEASE_MS, 10, ["w"]);
    expect(claimed.map(({ delivery }) => delivery.id)).toEqual(["d2"]);
    expect(await claim(store, 1_000)).toEqual(["d1"]);
  });

  it("lists the newest deliveries of a webhook first", async () => {
    const { store } = await waiting(anEvent("d1"), anEvent("d2"), anEvent("d3"));
    await store.webhooks.insert(aWebhook("other"));
    await store.webhooks.addDelivery(anEvent("d4", 1_000, "other"));
    const ids = async (limit: number) =>
      (await store.webhooks.deliveries("w", limit)).map((delivery) => delivery.id);
    expect(await ids(10)).toEqual(["d3", "d2", "d1"]);
    expect(await ids(2)).toEqual(["d3", "d2"]);
    expect(await store.webhooks.deliveries("unknown", 10)).toEqual([]);
  });

  it("forgets deliveries that ended before a time, and no others", async () => {
    const { store } = await waiting(
      anEvent("waiting"),
      anEvent("delivered"),
      anEvent("given up"),
      anEvent("ended later"),
    );
    await claim(store, 1_000);
    await store.webhooks.recordAttempt("waiting", 1, failed(1_500, 9_000));
    await store.webhooks.recordAttempt("delivered", 1, delivered(1_999));
    await store.webhooks.recordAttempt("given up", 1, failed(1_999, null));
    await store.webhooks.recordAttempt("ended later", 1, delivered(2_000));
    await store.webhooks.sweepDeliveries(2_000);
    const left = await store.webhooks.deliveries("w", 10);
    expect(left.map(({ id }) => id)).toEqual(["ended later", "waiting"]);
  });
}
