// The webhooks of projects, as administrators use them: made, listed, deleted, tested, and their
// deliveries read. A signing secret is shown once, when the webhook is made.
import { randomBytes } from "node:crypto";
import { ApiError } from "../core/api-error.ts";
import type { Clock } from "../core/clock.ts";
import { newDeliveryId, newEventId, newWebhookId } from "../core/ids.ts";
import { isProjectName } from "../core/project.ts";
import type { Signals } from "../core/signals.ts";
import { NotFoundError } from "../core/store.ts";
import type { WebhookStore } from "../core/webhook-store.ts";
import { type Webhook, type WebhookDelivery, webhookEventTypes } from "../core/webhook.ts";
import { badProject } from "./api-keys.ts";
import type { SecretBox } from "./secret-box.ts";

const SECRET_BYTES = 32;
/** So that one status change does not become a flood. */
const WEBHOOKS_PER_PROJECT = 20;
const SHOWN_DELIVERIES = 100;
/** What a test event is about: no batch has this id. */
const TEST_OBJECT = "batch_test";

export interface ProjectWebhooksParts {
  webhooks: WebhookStore;
  secrets: SecretBox;
  signals: Signals;
  clock: Clock;
  /** Why an URL may not be called, or undefined when it may. */
  refusalOfUrl: (url: string) => string | undefined;
}

export interface NewWebhook {
  projectId: string;
  url: string;
  /** Undefined: all events. */
  events: readonly string[] | undefined;
}

export class ProjectWebhooks {
  readonly #parts: ProjectWebhooksParts;

  constructor(parts: ProjectWebhooksParts) {
    this.#parts = parts;
  }

  /** `secret` is the only time at which it can be seen. Throws ApiError. */
  async create({
    projectId,
    url,
    events,
  }: NewWebhook): Promise<{ webhook: Webhook; secret: string }> {
    const { webhooks, secrets, clock, refusalOfUrl } = this.#parts;
    if (!isProjectName(projectId)) throw badProject(projectId);
    const refusal = refusalOfUrl(url);
    if (refusal !== undefined) {
      throw new ApiError(400, `Invalid 'url': ${refusal}`, { code: "invalid_value", param: "url" });
    }
    if ((await webhooks.list(projectId)).length >= WEBHOOKS_PER_PROJECT) {
      const message = `The project '${projectId}' has ${WEBHOOKS_PER_PROJECT} webhooks, which is as many as it may have. Delete one first.`;
      throw new ApiError(400, message, { code: "too_many_webhooks" });
    }
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString("base64")}`;
    const webhook: Webhook = {
      id: newWebhookId(),
      projectId,
      url,
      events: webhookEventTypes.filter((type) => events?.includes(type) ?? true),
      createdAt: clock.now(),
      sealedSecret: secrets.seal(secret),
    };
    await webhooks.insert(webhook);
    return { webhook, secret };
  }

  /** Oldest first; all projects' without one. */
  list(projectId?: string): Promise<Webhook[]> {
    return this.#parts.webhooks.list(projectId);
  }

  async get(id: string): Promise<Webhook> {
    return (await this.#parts.webhooks.get(id)) ?? noSuchWebhook(id);
  }

  async delete(id: string): Promise<void> {
    if (!(await this.#parts.webhooks.delete(id))) noSuchWebhook(id);
  }

  /** Has a `batch.completed` about no batch sent. Answers the id of the delivery. */
  async test(id: string): Promise<string> {
    const deliveryId = newDeliveryId();
    try {
      await this.#parts.webhooks.addDelivery({
        id: deliveryId,
        webhookId: id,
        eventId: newEventId(),
        eventType: "batch.completed",
        objectId: TEST_OBJECT,
        createdAt: this.#parts.clock.now(),
      });
    } catch (error) {
      if (error instanceof NotFoundError) noSuchWebhook(id);
      throw error;
    }
    this.#parts.signals.emit("batch-ended");
    return deliveryId;
  }

  /** The newest deliveries first. */
  async deliveries(id: string): Promise<WebhookDelivery[]> {
    await this.get(id);
    return this.#parts.webhooks.deliveries(id, SHOWN_DELIVERIES);
  }
}

function noSuchWebhook(id: string): never {
  throw new ApiError(404, `No webhook found with id '${id}'.`, { param: "id" });
}
