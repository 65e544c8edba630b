// A webhook endpoint as the API answers it, in the shape of OpenAI's SDKs, and what clients send for one.
import { type Static, Type } from "typebox";
import { webhookEventTypes } from "../../core/webhook.ts";
import { Seconds, nullable, oneOf } from "./schema.ts";

const NAME_CHARACTERS = 256;

const EventTypes = Type.Array(oneOf(webhookEventTypes), { minItems: 1 });
const Name = Type.String({ minLength: 1, maxLength: NAME_CHARACTERS });

const endpoint = {
  id: Type.String(),
  object: Type.Literal("webhook_endpoint"),
  created_at: Seconds,
  updated_at: Seconds,
  name: Type.String(),
  url: Type.String(),
  event_types: Type.Array(Type.String()),
  signing_secret_hint: nullable(Type.String()),
};

export const WebhookEndpoint = Type.Object(endpoint, {
  $id: "WebhookEndpoint",
  description: "Where a project's events are sent.",
});
export type WebhookEndpoint = Static<typeof WebhookEndpoint>;

export const WebhookEndpointWithSecret = Type.Object(
  { ...endpoint, signing_secret: Type.String() },
  {
    $id: "WebhookEndpointWithSecret",
    description: "A webhook endpoint whose secret was just made.",
  },
);
export type WebhookEndpointWithSecret = Static<typeof WebhookEndpointWithSecret>;

export const DeletedWebhookEndpoint = Type.Object({
  id: Type.String(),
  object: Type.Literal("webhook_endpoint.deleted"),
  deleted: Type.Boolean(),
});

export const WebhookTestResult = Type.Object({
  object: Type.Literal("webhook_endpoint.test"),
  webhook_endpoint_id: Type.String(),
  event_type: Type.String(),
  success: Type.Literal(true),
  status_code: Type.Integer({ description: "What the receiver answered" }),
});

export const EventTypeList = Type.Object({
  object: Type.Literal("list"),
  data: Type.Array(Type.String()),
});

export const NewWebhookEndpoint = Type.Object({
  name: Name,
  url: Type.String(),
  event_types: EventTypes,
});

export const WebhookEndpointChange = Type.Object({
  name: Type.Optional(Name),
  url: Type.Optional(Type.String()),
  event_types: Type.Optional(EventTypes),
});

export const SecretRotation = Type.Object({
  keep_old_secret_active_for_24_hours: Type.Optional(Type.Boolean()),
});

export const WebhookTest = Type.Object({ event_type: oneOf(webhookEventTypes) });
