// The routes of webhook endpoints, as OpenAI's SDKs know them: a project's own.
import { type Webhook, webhookEventTypes } from "../../core/webhook.ts";
import type { WebhookWithSecret, ProjectWebhooks } from "../../projects/project-webhooks.ts";
import type { App } from "../app.ts";
import { queryAfter, queryLimit } from "../query.ts";
import { ById, pageOf, reference } from "../schemas/schema.ts";
import {
  DeletedWebhookEndpoint,
  EventTypeList,
  NewWebhookEndpoint,
  SecretRotation,
  WebhookEndpoint,
  WebhookEndpointChange,
  WebhookEndpointWithSecret,
  WebhookTest,
  WebhookTestResult,
} from "../schemas/webhook-object.ts";
import { pageToWire, seconds } from "../wire.ts";

const ENDPOINTS = "/v1/webhook_endpoints";
const PAGE = { min: 1, max: 100, fallback: 20 };
const tags = ["Webhooks"];
const withSecret = { 200: reference(WebhookEndpointWithSecret) };
const withoutSecret = { 200: reference(WebhookEndpoint) };

export function addWebhookRoutes(app: App, webhooks: ProjectWebhooks): void {
  app.post(
    ENDPOINTS,
    {
      schema: {
        operationId: "createWebhookEndpoint",
        tags,
        body: NewWebhookEndpoint,
        response: withSecret,
      },
    },
    async ({ projectId, body, log }) => {
      const { name, url, event_types: events } = body;
      const created = await webhooks.create({ projectId, name, url, events });
      log.info({ webhook_id: created.webhook.id }, "webhook created");
      return secretToWire(created);
    },
  );

  app.get(
    ENDPOINTS,
    {
      schema: {
        operationId: "listWebhookEndpoints",
        tags,
        response: { 200: pageOf(reference(WebhookEndpoint)) },
      },
    },
    async ({ projectId, query }) => {
      const limit = queryLimit(query, PAGE);
      return pageToWire(
        await webhooks.page(projectId, { limit, ...queryAfter(query) }),
        webhookToWire,
      );
    },
  );

  app.get(
    `${ENDPOINTS}/:id`,
    {
      schema: {
        operationId: "retrieveWebhookEndpoint",
        tags,
        params: ById,
        response: withoutSecret,
      },
    },
    async ({ projectId, params }) => webhookToWire(await webhooks.get(params.id, projectId)),
  );

  app.post(
    `${ENDPOINTS}/:id`,
    {
      schema: {
        operationId: "updateWebhookEndpoint",
        tags,
        params: ById,
        body: WebhookEndpointChange,
        response: withoutSecret,
      },
    },
    async ({ projectId, params, body }) => {
      const { name, url, event_types: events } = body;
      return webhookToWire(await webhooks.update(projectId, params.id, { name, url, events }));
    },
  );

  app.delete(
    `${ENDPOINTS}/:id`,
    {
      schema: {
        operationId: "deleteWebhookEndpoint",
        tags,
        params: ById,
        response: { 200: DeletedWebhookEndpoint },
      },
    },
    async ({ projectId, params, log }) => {
      await webhooks.delete(params.id, projectId);
      log.info({ webhook_id: params.id }, "webhook deleted");
      return { id: params.id, object: "webhook_endpoint.deleted" as const, deleted: true };
    },
  );

  app.post(
    `${ENDPOINTS}/:id/rotate_secret`,
    {
      schema: {
        operationId: "rotateWebhookSecret",
        tags,
        params: ById,
        body: SecretRotation,
        response: withSecret,
      },
    },
    async ({ projectId, params, body, log }) => {
      const keepOld = body.keep_old_secret_active_for_24_hours ?? false;
      const rotated = await webhooks.rotateSecret(projectId, params.id, keepOld);
      log.info({ webhook_id: params.id }, "webhook secret rotated");
      return secretToWire(rotated);
    },
  );

  app.post(
    `${ENDPOINTS}/:id/test`,
    {
      schema: {
        operationId: "testWebhookEndpoint",
        tags,
        params: ById,
        body: WebhookTest,
        response: { 200: WebhookTestResult },
      },
    },
    async ({ projectId, params, body: { event_type: eventType } }) => ({
      object: "webhook_endpoint.test" as const,
      webhook_endpoint_id: params.id,
      event_type: eventType,
      success: true as const,
      status_code: await webhooks.sendSample(params.id, eventType, projectId),
    }),
  );

  app.get(
    "/v1/webhook_event_types",
    { schema: { operationId: "listWebhookEventTypes", tags, response: { 200: EventTypeList } } },
    () => ({ object: "list" as const, data: [...webhookEventTypes] }),
  );
}

function webhookToWire(webhook: Webhook): WebhookEndpoint {
  return {
    id: webhook.id,
    object: "webhook_endpoint",
    created_at: seconds(webhook.createdAt),
    updated_at: seconds(webhook.updatedAt),
    name: webhook.name,
    url: webhook.url,
    event_types: [...webhook.events],
    signing_secret_hint: webhook.secretHint,
  };
}

function secretToWire({ webhook, secret }: WebhookWithSecret): WebhookEndpointWithSecret {
  return { ...webhookToWire(webhook), signing_secret: secret };
}
