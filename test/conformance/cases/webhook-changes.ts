// Webhook endpoints that are changed, get a new secret and are tried, as a receiver of theirs sees it.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import { type ReceivedWebhook, Receiver } from "../receiver.ts";
import {
  type WireWebhookEndpointWithSecret,
  endpointSchema,
  endpointTestSchema,
  endpointWithSecretSchema,
} from "../schemas/webhook-endpoint.ts";
import type { Target } from "../target.ts";
import { withEndpoint } from "./webhook-endpoints.ts";

const ENDPOINTS = "/webhook_endpoints";
/** Nothing listens there. */
const NOWHERE = "http://127.0.0.1:9/hook";

async function change(target: Target, id: string, members: object) {
  return ok(await target.post(`${ENDPOINTS}/${id}`, members), endpointSchema);
}

/** Has a sample event sent, which is there when this is back. */
async function tested(target: Target, id: string) {
  const about = { event_type: "batch.failed" };
  return ok(await target.post(`${ENDPOINTS}/${id}/test`, about), endpointTestSchema);
}

async function rotated(target: Target, id: string, members: object): Promise<string> {
  const answer = await target.post(`${ENDPOINTS}/${id}/rotate_secret`, members);
  return ok(answer, endpointWithSecretSchema).signing_secret;
}

/** Which of the secrets verify it. */
async function verifying(
  { openai }: Target,
  { body, headers }: ReceivedWebhook,
  secrets: readonly string[],
): Promise<boolean[]> {
  return Promise.all(
    secrets.map((secret) =>
      openai.webhooks.verifySignature(body, headers, secret).then(
        () => true,
        () => false,
      ),
    ),
  );
}

/** A case with an endpoint at a receiver of its own. */
function atReceiver(
  row: string,
  name: string,
  look: (
    target: Target,
    endpoint: WireWebhookEndpointWithSecret,
    receiver: Receiver,
  ) => Promise<void>,
): Case {
  return {
    row,
    name,
    needs: ["webhook-receiver"],
    async run(target) {
      await using receiver = await Receiver.start();
      await withEndpoint(target, { url: receiver.url }, (endpoint) =>
        look(target, endpoint, receiver),
      );
    },
  };
}

export const webhookChangesCases: readonly Case[] = [
  {
    row: "webhooks.endpoints.update",
    name: "what is given changes, and nothing else",
    async run(target) {
      await withEndpoint(target, {}, async ({ id, signing_secret: _secret, ...before }) => {
        const renamed = await change(target, id, { name: "another" });
        const updated = { updated_at: renamed.updated_at };
        assert.deepEqual(renamed, { id, ...before, ...updated, name: "another" });
        const other = { url: "https://example.org/", event_types: ["batch.failed"] };
        has(await change(target, id, other), { ...other, name: "another" });
      });
    },
  },
  {
    row: "webhooks.endpoints.update.unchanged",
    name: "a change of nothing leaves it as it was",
    async run(target) {
      await withEndpoint(target, {}, async ({ id, name, signing_secret: _secret, ...before }) => {
        assert.deepEqual(await change(target, id, { name }), { id, name, ...before });
        assert.deepEqual(await change(target, id, {}), { id, name, ...before });
      });
    },
  },
  {
    row: "webhooks.endpoints.update.refused",
    name: "what create refuses is refused, and changes nothing",
    needs: ["offpeak"],
    async run(target) {
      await withEndpoint(target, {}, async ({ id, name }) => {
        const path = `${ENDPOINTS}/${id}`;
        for (const [param, value] of Object.entries({ name: "", url: "x", event_types: [] })) {
          const answer = await target.post(path, { name: "another", [param]: value });
          refused(answer, { status: 400, param });
        }
        has(ok(await target.send(path), endpointSchema), { name });
      });
    },
  },
  atReceiver(
    "webhooks.endpoints.rotate-secret",
    "the new secret signs, the old one no more",
    async (target, { id, signing_secret: old }, receiver) => {
      const secret = await rotated(target, id, {});
      await tested(target, id);
      const [received] = receiver.received;
      assert.deepEqual(await verifying(target, received!, [old, secret]), [false, true]);
    },
  ),
  atReceiver(
    "webhooks.endpoints.rotate-secret.keep",
    "both sign when the old one is kept",
    async (target, { id, signing_secret: old }, receiver) => {
      const secret = await rotated(target, id, { keep_old_secret_active_for_24_hours: true });
      await tested(target, id);
      const [received] = receiver.received;
      assert.deepEqual(await verifying(target, received!, [old, secret]), [true, true]);
    },
  ),
  atReceiver(
    "webhooks.endpoints.test",
    "a signed sample of the event is sent at once, and the receiver's answer told",
    async (target, { id, signing_secret: secret }, receiver) => {
      const about = { webhook_endpoint_id: id, event_type: "batch.failed" };
      has(await tested(target, id), { ...about, success: true, status_code: 200 });
      const [received] = receiver.received;
      has(JSON.parse(received!.body) as object, { type: "batch.failed" });
      assert.deepEqual(await verifying(target, received!, [secret]), [true]);
    },
  ),
  atReceiver(
    "webhooks.endpoints.test",
    "… also one that refuses",
    async (target, { id }, receiver) => {
      receiver.status = 500;
      has(await tested(target, id), { success: true, status_code: 500 });
    },
  ),
  {
    row: "webhooks.endpoints.test.event-type",
    name: "event_type is required, and one of those about batches",
    needs: ["offpeak"],
    async run(target) {
      await withEndpoint(target, {}, async ({ id }) => {
        const path = `${ENDPOINTS}/${id}/test`;
        const missing = { status: 400, code: "missing_required_parameter", param: "event_type" };
        refused(await target.post(path, {}), missing);
        const unknown = { status: 400, code: "invalid_value", param: "event_type" };
        refused(await target.post(path, { event_type: "response.completed" }), unknown);
      });
    },
  },
  {
    row: "webhooks.endpoints.test.unreachable",
    name: "an endpoint where nobody listens is a 400",
    needs: ["offpeak", "webhook-receiver"],
    async run(target) {
      await withEndpoint(target, { url: NOWHERE }, async ({ id }) => {
        const answer = await target.post(`${ENDPOINTS}/${id}/test`, { event_type: "batch.failed" });
        refused(answer, { status: 400, code: "webhook_test_failed", message: /ECONNREFUSED/ });
      });
    },
  },
];
