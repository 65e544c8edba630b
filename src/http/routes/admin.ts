// The routes of the administrator, beyond OpenAI's API: API keys of projects, and their webhooks.
import { Type } from "typebox";
import type { ApiKey } from "../../core/key-store.ts";
import { type Webhook, type WebhookDelivery, webhookEventTypes } from "../../core/webhook.ts";
import type { ApiKeys } from "../../projects/api-keys.ts";
import type { ProjectWebhooks } from "../../projects/project-webhooks.ts";
import type { App } from "../app.ts";
import { queryValue } from "../query.ts";
import { seconds } from "../wire.ts";

const KEYS = "/admin/v1/keys";
const WEBHOOKS = "/admin/v1/webhooks";
const keyTags = { tags: ["Admin: API keys"] };
const webhookTags = { tags: ["Admin: webhooks"] };

const NewKey = Type.Object({ project: Type.String() });

const NewWebhook = Type.Object({
  project: Type.String(),
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  url: Type.String(),
  events: Type.Optional(
    Type.Array(Type.Unsafe<string>({ type: "string", enum: webhookEventTypes }), { minItems: 1 }),
  ),
});

const Key = Type.Object({
  id: Type.String(),
  object: Type.Literal("api_key"),
  project: Type.String(),
  created_at: Type.Integer(),
  last_used_at: Type.Union([Type.Integer(), Type.Null()]),
  revoked_at: Type.Union([Type.Integer(), Type.Null()]),
});

const WebhookAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal("webhook"),
  project: Type.String(),
  name: Type.String(),
  url: Type.String(),
  events: Type.Array(Type.String()),
  created_at: Type.Integer(),
});

const Delivery = Type.Object({
  id: Type.String(),
  object: Type.Literal("webhook.delivery"),
  event_id: Type.String(),
  event_type: Type.String(),
  object_id: Type.String(),
  status: Type.Unsafe<string>({ type: "string", enum: ["pending", "delivered", "failed"] }),
  attempts: Type.Integer(),
  created_at: Type.Integer(),
  next_attempt_at: Type.Union([Type.Integer(), Type.Null()]),
  last_attempt_at: Type.Union([Type.Integer(), Type.Null()]),
  delivered_at: Type.Union([Type.Integer(), Type.Null()]),
  last_status: Type.Union([Type.Integer(), Type.Null()]),
  last_error: Type.Union([Type.String(), Type.Null()]),
});

const ById = Type.Object({ id: Type.String() });
const Deleted = Type.Object({ id: Type.String(), object: Type.String(), deleted: Type.Boolean() });
const ByProject = Type.Object({ project: Type.Optional(Type.String()) });

function listOf<T extends ReturnType<typeof Type.Object>>(item: T) {
  return Type.Object({ object: Type.Literal("list"), data: Type.Array(item) });
}

interface IdParams {
  Params: { id: string };
}

export interface AdminParts {
  keys: ApiKeys;
  webhooks: ProjectWebhooks;
}

export function addAdminRoutes(app: App, { keys, webhooks }: AdminParts): void {
  addKeyRoutes(app, keys);
  addWebhookRoutes(app, webhooks);
}

function addKeyRoutes(app: App, keys: ApiKeys): void {
  const created = Type.Intersect([Key, Type.Object({ key: Type.String() })]);
  app.post(
    KEYS,
    { schema: { ...keyTags, operationId: "createKey", body: NewKey, response: { 200: created } } },
    async ({ body, log }) => {
      const { apiKey, key } = await keys.create(body.project);
      log.info({ key_id: apiKey.id, project: apiKey.projectId }, "API key created");
      return { ...keyToWire(apiKey), key };
    },
  );

  app.get(
    KEYS,
    { schema: { ...keyTags, operationId: "listKeys", response: { 200: listOf(Key) } } },
    async () => list((await keys.list()).map(keyToWire)),
  );

  app.delete<IdParams>(
    `${KEYS}/:id`,
    {
      schema: { ...keyTags, operationId: "revokeKey", params: ById, response: { 200: Deleted } },
    },
    async ({ params, log }) => {
      await keys.revoke(params.id);
      log.info({ key_id: params.id }, "API key revoked");
      return { id: params.id, object: "api_key", deleted: true };
    },
  );
}

function addWebhookRoutes(app: App, webhooks: ProjectWebhooks): void {
  const created = Type.Intersect([WebhookAnswer, Type.Object({ secret: Type.String() })]);
  const describe = (operationId: string, answer: object) => ({
    ...webhookTags,
    operationId,
    response: { 200: answer },
  });

  app.post(
    WEBHOOKS,
    { schema: { ...describe("createWebhook", created), body: NewWebhook } },
    async ({ body, log }) => {
      const { project: projectId, ...about } = body;
      const { webhook, secret } = await webhooks.create({ projectId, ...about });
      log.info({ webhook_id: webhook.id, project: projectId }, "webhook created");
      return { ...webhookToWire(webhook), secret };
    },
  );

  app.get(
    WEBHOOKS,
    { schema: { ...describe("listWebhooks", listOf(WebhookAnswer)), querystring: ByProject } },
    async ({ query }) => {
      const found = await webhooks.list(queryValue(query, "project"));
      return list(found.map(webhookToWire));
    },
  );

  app.get<IdParams>(
    `${WEBHOOKS}/:id`,
    { schema: { ...describe("retrieveWebhook", WebhookAnswer), params: ById } },
    async ({ params }) => webhookToWire(await webhooks.get(params.id)),
  );

  app.delete<IdParams>(
    `${WEBHOOKS}/:id`,
    { schema: { ...describe("deleteWebhook", Deleted), params: ById } },
    async ({ params, log }) => {
      await webhooks.delete(params.id);
      log.info({ webhook_id: params.id }, "webhook deleted");
      return { id: params.id, object: "webhook", deleted: true };
    },
  );

  app.post<IdParams>(
    `${WEBHOOKS}/:id/test`,
    {
      schema: {
        ...describe("testWebhook", Type.Object({ delivery_id: Type.String() })),
        params: ById,
      },
    },
    async ({ params }) => ({ delivery_id: await webhooks.test(params.id) }),
  );

  app.get<IdParams>(
    `${WEBHOOKS}/:id/deliveries`,
    { schema: { ...describe("listWebhookDeliveries", listOf(Delivery)), params: ById } },
    async ({ params }) => list((await webhooks.deliveries(params.id)).map(deliveryToWire)),
  );
}

function list<T>(data: T[]) {
  return { object: "list" as const, data };
}

function keyToWire({ id, projectId, createdAt, lastUsedAt, revokedAt }: ApiKey) {
  return {
    id,
    object: "api_key" as const,
    project: projectId,
    created_at: seconds(createdAt),
    last_used_at: seconds(lastUsedAt),
    revoked_at: seconds(revokedAt),
  };
}

function webhookToWire({ id, projectId, name, url, events, createdAt }: Webhook) {
  return {
    id,
    object: "webhook" as const,
    project: projectId,
    name,
    url,
    events: [...events],
    created_at: seconds(createdAt),
  };
}

function deliveryToWire(delivery: WebhookDelivery) {
  const ended = delivery.deliveredAt === null ? "failed" : "delivered";
  return {
    id: delivery.id,
    object: "webhook.delivery" as const,
    event_id: delivery.eventId,
    event_type: delivery.eventType,
    object_id: delivery.objectId,
    status: delivery.nextAttemptAt === null ? ended : "pending",
    attempts: delivery.attempts,
    created_at: seconds(delivery.createdAt),
    next_attempt_at: seconds(delivery.nextAttemptAt),
    last_attempt_at: seconds(delivery.lastAttemptAt),
    delivered_at: seconds(delivery.deliveredAt),
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
  };
}
