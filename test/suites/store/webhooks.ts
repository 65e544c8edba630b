// Webhooks: who wants to hear of what, and which ends of batches they hear of.

import { expect, it } from "vitest";
import { ConflictError, LimitExceededError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import type { Webhook } from "../../../src/core/webhook.ts";
import {
  OTHER_PROJECT,
  PROJECT,
  aBatch,
  aWebhook,
  batchStates,
  claimAssemblingOf,
  claimPlanningOf,
  finishResult,
  read,
} from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const endedAt = {
  failed: "failedAt",
  completed: "completedAt",
  expired: "expiredAt",
  cancelled: "cancelledAt",
} as const;
const ended = Object.keys(endedAt) as (keyof typeof endedAt)[];

const deliveriesOf = (store: Store, webhookId: string) => store.webhooks.deliveries(webhookId, 100);

export function webhookCases(open: OpenStore): void {
  it("gives back what was inserted", async () => {
    const { store, peer } = await open();
    const webhook = aWebhook("w", { url: "https://example.com/é?a=1", events: ["batch.failed"] });
    await store.webhooks.insert(webhook);
    expect(await peer.webhooks.get("w")).toEqual(webhook);
    expect(await peer.webhooks.get("other")).toBeUndefined();
  });

  it("refuses an id that exists, and keeps the first record", async () => {
    const { store } = await open();
    await store.webhooks.insert(aWebhook("w"));
    const again = store.webhooks.insert(aWebhook("w", { url: "https://second.example" }));
    await expect(again).rejects.toThrow(ConflictError);
    expect(await store.webhooks.get("w")).toEqual(aWebhook("w"));
  });

  it("lists the oldest first, of one project or of all", async () => {
    const { store } = await open();
    const [b, a, c] = [aWebhook("b"), aWebhook("a", { projectId: OTHER_PROJECT }), aWebhook("c")];
    for (const webhook of [b, a, c]) await store.webhooks.insert(webhook);
    expect(await store.webhooks.list()).toEqual([b, a, c]);
    expect(await store.webhooks.list(PROJECT)).toEqual([b, c]);
    expect(await store.webhooks.list("proj_none")).toEqual([]);
  });

  it("replaces all of a webhook but its id, project and creation", async () => {
    const { store, peer } = await open();
    for (const id of ["w", "kept"]) await store.webhooks.insert(aWebhook(id));
    const changed: Webhook = {
      ...aWebhook("w"),
      name: "another name",
      url: "https://another.example/",
      events: ["batch.failed"],
      updatedAt: 2_000,
      sealedSecret: "another",
      secretHint: "whsec_…new",
      previousSecret: { sealedSecret: "the old one", validUntil: 3_000 },
    };
    const given = { ...changed, projectId: OTHER_PROJECT, createdAt: 9 };
    expect(await store.webhooks.update(aWebhook("w"), given)).toBe(true);
    expect(await peer.webhooks.list()).toEqual([changed, aWebhook("kept")]);
    await store.webhooks.update(changed, { ...changed, previousSecret: null });
    expect(await peer.webhooks.get("w")).toEqual({ ...changed, previousSecret: null });
    const unknown = aWebhook("unknown");
    expect(await store.webhooks.update(unknown, unknown)).toBe(false);
  });

  it("changes none that is not as it was read: of two changes at once one is told so", async () => {
    const { store, peer } = await open();
    const before = aWebhook("w");
    await store.webhooks.insert(before);
    const changes = [
      { ...before, name: "renamed" },
      { ...before, previousSecret: { sealedSecret: "old", validUntil: 9 } },
    ];
    const nodes = [store, peer];
    const answers = await Promise.all(
      changes.map((after, index) => nodes[index]!.webhooks.update(before, after)),
    );
    expect(answers.filter(Boolean)).toEqual([true]);
    expect(await store.webhooks.get("w")).toEqual(changes[answers.indexOf(true)]);
  });

  it("takes no more than a project may have, also of two at once", async () => {
    const { store, peer } = await open();
    await store.webhooks.insert(aWebhook("w"), 2);
    await store.webhooks.insert(aWebhook("other", { projectId: OTHER_PROJECT }), 1);
    const added = await Promise.allSettled([
      store.webhooks.insert(aWebhook("a"), 2),
      peer.webhooks.insert(aWebhook("b"), 2),
    ]);
    expect(added.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const refused = added.find(({ status }) => status === "rejected") as PromiseRejectedResult;
    expect(refused.reason).toBeInstanceOf(LimitExceededError);
    expect(refused.reason).toMatchObject({ limit: "webhooks", allowed: 2 });
    expect(await store.webhooks.list(PROJECT)).toHaveLength(2);
  });

  it("deletes a webhook once, with its deliveries", async () => {
    const { store, peer } = await open();
    for (const id of ["w", "kept"]) await store.webhooks.insert(aWebhook(id));
    await batchStates["failed"]!(store, "b");
    const answers = await Promise.all([store, peer].map((node) => node.webhooks.delete("w")));
    expect(answers.filter((deleted) => deleted)).toHaveLength(1);
    expect(await store.webhooks.get("w")).toBeUndefined();
    expect(await deliveriesOf(store, "w")).toEqual([]);
    expect(await deliveriesOf(store, "kept")).toHaveLength(1);
  });

  it("hands out copies", async () => {
    const { store } = await open();
    const inserted = aWebhook("w");
    const events = [...inserted.events];
    await store.webhooks.insert({ ...inserted, events });
    events.push("changed");
    for (const found of [await store.webhooks.get("w"), (await store.webhooks.list())[0]]) {
      (found!.events as string[]).push("changed");
    }
    expect(await store.webhooks.get("w")).toEqual(inserted);
  });

  it.each(ended)("adds a delivery when a batch becomes %s, due at once", async (status) => {
    const { store, peer } = await open();
    await store.webhooks.insert(aWebhook("w"));
    await batchStates[status]!(store, "b");
    const at = (await read(store, "b"))[endedAt[status]]!;
    expect(await deliveriesOf(peer, "w")).toEqual([
      {
        id: expect.stringMatching(/^wh_[0-9a-f]{32}$/),
        webhookId: "w",
        eventId: expect.stringMatching(/^evt_[0-9a-f]{32}$/),
        eventType: `batch.${status}`,
        objectId: "b",
        createdAt: at,
        attempts: 0,
        nextAttemptAt: at,
        deliveredAt: null,
        lastAttemptAt: null,
        lastStatus: null,
        lastError: null,
      },
    ]);
  });

  it.each(Object.keys(batchStates).filter((state) => !(ended as string[]).includes(state)))(
    "adds none while a batch is %s",
    async (state) => {
      const { store } = await open();
      await store.webhooks.insert(aWebhook("w"));
      await batchStates[state]!(store, "b");
      expect(await deliveriesOf(store, "w")).toEqual([]);
    },
  );

  it("adds one for every webhook of the project that wants the event, all of one event", async () => {
    const { store } = await open();
    await store.webhooks.insert(aWebhook("all"));
    await store.webhooks.insert(aWebhook("failures", { events: ["batch.failed"] }));
    await store.webhooks.insert(aWebhook("successes", { events: ["batch.completed"] }));
    await store.webhooks.insert(aWebhook("others", { projectId: OTHER_PROJECT }));
    for (const id of ["b1", "b2"]) await batchStates["failed"]!(store, id);
    const [all, failures] = await Promise.all(
      ["all", "failures"].map((id) => deliveriesOf(store, id)),
    );
    const told = (deliveries: typeof all) =>
      deliveries!.map(({ objectId, eventId }) => ({ objectId, eventId }));
    expect(told(all).map(({ objectId }) => objectId)).toEqual(["b2", "b1"]);
    expect(told(failures)).toEqual(told(all));
    expect(new Set(told(all).map(({ eventId }) => eventId)).size).toBe(2);
    expect(new Set([...all!, ...failures!].map(({ id }) => id)).size).toBe(4);
    for (const id of ["successes", "others"]) expect(await deliveriesOf(store, id)).toEqual([]);
  });

  it("adds none when the change does not happen", async () => {
    const { store } = await open();
    await store.webhooks.insert(aWebhook("w"));
    await batchStates["finalizing"]!(store, "b");
    const epoch = await claimAssemblingOf(store, "b");
    await store.batches.requestCancel(PROJECT, "b", 4_000);
    const finish = store.batches.finish("b", epoch, finishResult("completed"));
    await expect(finish).rejects.toThrow(ConflictError);
    await store.batches.insert(aBatch("planned"));
    const planning = await claimPlanningOf(store, "planned");
    await store.batches.requestCancel(PROJECT, "planned", 4_000);
    const fail = store.batches.failValidation("planned", planning, [], 4_000);
    await expect(fail).rejects.toThrow(ConflictError);
    expect(await deliveriesOf(store, "w")).toEqual([]);
  });
}
