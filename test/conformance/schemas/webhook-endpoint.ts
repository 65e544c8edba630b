// A webhook endpoint, with and without its secret, and what its routes answer besides.
import { type SchemaOf, always, object, orNull, text, time } from "./schema.ts";

export interface WireWebhookEndpoint {
  id: string;
  created_at: number;
  updated_at: number;
  name: string;
  url: string;
  event_types: string[];
  signing_secret_hint: string | null;
}

export interface WireWebhookEndpointWithSecret extends WireWebhookEndpoint {
  signing_secret: string;
}

const eventType = {
  enum: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
};
const members = {
  id: { type: "string", pattern: "^whe_" },
  object: always("webhook_endpoint"),
  created_at: time,
  updated_at: time,
  name: text,
  url: text,
  event_types: { type: "array", items: eventType },
  signing_secret_hint: orNull(text),
};

export const endpointSchema: SchemaOf<WireWebhookEndpoint> = object(members);

export const endpointWithSecretSchema: SchemaOf<WireWebhookEndpointWithSecret> = object({
  ...members,
  signing_secret: { type: "string", pattern: "^whsec_" },
});

export const deletedEndpointSchema: SchemaOf<{ id: string }> = object({
  id: text,
  object: always("webhook_endpoint.deleted"),
  deleted: always(true),
});

export const endpointTestSchema: SchemaOf<{ status_code: number }> = object({
  object: always("webhook_endpoint.test"),
  webhook_endpoint_id: text,
  event_type: eventType,
  success: always(true),
  status_code: { type: "integer", minimum: 100 },
});

export const eventTypesSchema: SchemaOf<{ data: string[] }> = object({
  object: always("list"),
  data: { type: "array", items: text },
});
