import { expect, test } from "vitest";
import { type Webhook, signingSecrets, webhookBody, webhookEventTypes } from "./webhook.ts";

test("there is an event for every end of a batch", () => {
  expect(webhookEventTypes.toSorted()).toEqual([
    "batch.cancelled",
    "batch.completed",
    "batch.expired",
    "batch.failed",
  ]);
});

test("the body is thin, with its time in seconds and its members in OpenAI's order", () => {
  const delivery = {
    eventId: "evt_1",
    eventType: "batch.completed",
    objectId: "batch_1",
    createdAt: 1_760_731_705_999,
  };
  expect(webhookBody(delivery)).toBe(
    '{"id":"evt_1","object":"event","created_at":1760731705,"type":"batch.completed","data":{"id":"batch_1"}}',
  );
});

test("the secret before the last one signs too until its time is over", () => {
  const previousSecret = { sealedSecret: "old", validUntil: 1_000 };
  const webhook = { sealedSecret: "new", previousSecret } as Webhook;
  expect(signingSecrets(webhook, 999)).toEqual(["new", "old"]);
  expect(signingSecrets(webhook, 1_000)).toEqual(["new"]);
  expect(signingSecrets({ ...webhook, previousSecret: null }, 0)).toEqual(["new"]);
});
