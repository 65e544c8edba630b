// The webhooks of projects: made, changed, listed, deleted, tested, and their deliveries read, by a project itself
// or by an administrator. A signing secret is shown only when it is made.
import { randomBytes } from "node:crypto";
import { ApiError } from "../core/api-error.ts";
import type { Clock } from "../core/clock.ts";
import { newDeliveryId, newEventId, newWebhookId } from "../core/ids.ts";
import { isProjectName } from "../core/project.ts";
import type { Signals } from "../core/signals.ts";
import { LimitExceededError, NotFoundError, type Page } from "../core/store.ts";
import type { DueDelivery, WebhookStore } from "../core/webhook-store.ts";
import { type Webhook, type WebhookDelivery, webhookEventTypes } from "../core/webhook.ts";
import { badProject } from "./api-keys.ts";
import type { SecretBox } from "./secret-box.ts";

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
const HINTED_CHARACTERS = 4;
const OLD_SECRET_MS = 24 * 3_600_000;
/** So that one status change does not become a flood. */
const WEBHOOKS_PER_PROJECT = 20;
const SHOWN_DELIVERIES = 100;
/** What a sample event is about: no batch has this id. */
const SAMPLE_OBJECT = "batch_test";

export interface ProjectWebhooksParts {
  webhooks: WebhookStore;
  secrets: SecretBox;
  signals: Signals;
  clock: Clock;
  /** Why an URL may not be called, or undefined when it may. */
  refusalOfUrl: (url: string) => string | undefined;
  /** Sends an event at once, beside the outbox. */
  sendNow: (due: DueDelivery) => Promise<{ status: number | null; error: string | null }>;
}

export interface WebhookChange {
  name?: string | undefined;
  url?: string | undefined;
  /** All that it is to get. */
  events?: readonly string[] | undefined;
}

export interface NewWebhook extends WebhookChange {
  projectId: string;
  url: string;
}

/** A webhook with the secret that was just made for it. */
export interface WebhookWithSecret {
  webhook: Webhook;
  secret: string;
}

export class ProjectWebhooks {
  readonly #parts: ProjectWebhooksParts;

  constructor(parts: ProjectWebhooksParts) {
    this.#parts = parts;
  }

  /** Without `events` it gets all of them. Throws ApiError. */
  async create({ projectId, url, ...about }: NewWebhook): Promise<WebhookWithSecret> {
    const { webhooks, clock } = this.#parts;
    if (!isProjectName(projectId)) throw badProject(projectId);
    this.#checkUrl(url);
    const { secret, sealed } = this.#newSecret();
    const createdAt = clock.now();
    const webhook: Webhook = {
      id: newWebhookId(),
      projectId,
      name: about.name ?? hostOf(url),
      url,
      events: inOrder(about.events ?? webhookEventTypes),
      createdAt,
      updatedAt: createdAt,
      ...sealed,
      previousSecret: null,
    };
    try {
      await webhooks.insert(webhook, WEBHOOKS_PER_PROJECT);
    } catch (error) {
      if (error instanceof LimitExceededError) throw tooManyWebhooks(projectId);
      throw error;
    }
    return { webhook, secret };
  }

  /** Oldest first; all projects' without one. */
  list(projectId?: string): Promise<Webhook[]> {
    return this.#parts.webhooks.list(projectId);
  }

  /** Newest first. @param query.after exclusive */
  async page(projectId: string, query: { after?: string; limit: number }): Promise<Page<Webhook>> {
    const all = (await this.list(projectId)).toReversed();
    const { after, limit } = query;
    const last = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
    if (after !== undefined && last < 0) noSuchWebhook(after, "after");
    const rest = all.slice(last + 1);
    return { data: rest.slice(0, limit), hasMore: limit > 0 && rest.length > limit };
  }

  /** @param projectId whose it must be; left out for the administrator */
  async get(id: string, projectId?: string): Promise<Webhook> {
    const webhook = await this.#parts.webhooks.get(id);
    const isTheirs = projectId === undefined || webhook?.projectId === projectId;
    return webhook !== undefined && isTheirs ? webhook : noSuchWebhook(id);
  }

  /** Changes what is given. */
  async update(projectId: string, id: string, change: WebhookChange): Promise<Webhook> {
    if (change.url !== undefined) this.#checkUrl(change.url);
    return this.#change(projectId, id, (before) => ({
      ...before,
      name: change.name ?? before.name,
      url: change.url ?? before.url,
      events: inOrder(change.events ?? before.events),
    }));
  }

  /** @param keepOldSecret deliveries are signed with both for 24 hours */
  async rotateSecret(
    projectId: string,
    id: string,
    keepOldSecret: boolean,
  ): Promise<WebhookWithSecret> {
    const { secret, sealed } = this.#newSecret();
    const validUntil = this.#parts.clock.now() + OLD_SECRET_MS;
    const webhook = await this.#change(projectId, id, ({ sealedSecret, ...before }) => {
      const previousSecret = keepOldSecret ? { sealedSecret, validUntil } : null;
      return { ...before, ...sealed, previousSecret };
    });
    return { webhook, secret };
  }

  async delete(id: string, projectId?: string): Promise<void> {
    await this.get(id, projectId);
    if (!(await this.#parts.webhooks.delete(id))) noSuchWebhook(id);
  }

  /** Sends a sample event now. Answers the receiver's HTTP status; throws ApiError when there is none. */
  async sendSample(id: string, eventType: string, projectId?: string): Promise<number> {
    const { sendNow } = this.#parts;
    const webhook = await this.get(id, projectId);
    const delivery = { ...this.#sample(id, eventType), ...neverTried };
    const { status, error } = await sendNow({ delivery, webhook });
    if (status !== null) return status;
    throw new ApiError(400, `The webhook endpoint could not be reached: ${error}`, {
      code: "webhook_test_failed",
    });
  }

  /** Has a sample event delivered through the outbox, as any other. Answers the id of the delivery. */
  async test(id: string): Promise<string> {
    const event = this.#sample(id, "batch.completed");
    try {
      await this.#parts.webhooks.addDelivery(event);
    } catch (error) {
      if (error instanceof NotFoundError) noSuchWebhook(id);
      throw error;
    }
    this.#parts.signals.emit("batch-ended");
    return event.id;
  }

  /** The newest deliveries first. */
  async deliveries(id: string): Promise<WebhookDelivery[]> {
    await this.get(id);
    return this.#parts.webhooks.deliveries(id, SHOWN_DELIVERIES);
  }

  #checkUrl(url: string): void {
    const refusal = this.#parts.refusalOfUrl(url);
    if (refusal === undefined) return;
    throw new ApiError(400, `Invalid 'url': ${refusal}`, { code: "invalid_value", param: "url" });
  }

  #newSecret() {
    const secret = SECRET_PREFIX + randomBytes(SECRET_BYTES).toString("base64");
    const secretHint = `${SECRET_PREFIX}…${secret.slice(-HINTED_CHARACTERS)}`;
    return { secret, sealed: { sealedSecret: this.#parts.secrets.seal(secret), secretHint } };
  }

  /** What others change at the same time is kept. */
  async #change(
    projectId: string,
    id: string,
    change: (before: Webhook) => Webhook,
  ): Promise<Webhook> {
    for (;;) {
      const before = await this.get(id, projectId);
      const after = change(before);
      if (JSON.stringify(after) === JSON.stringify(before)) return before;
      const saved = { ...after, updatedAt: this.#parts.clock.now() };
      if (await this.#parts.webhooks.update(before, saved)) return saved;
    }
  }

  #sample(webhookId: string, eventType: string) {
    const createdAt = this.#parts.clock.now();
    const ids = { id: newDeliveryId(), webhookId, eventId: newEventId() };
    return { ...ids, eventType, objectId: SAMPLE_OBJECT, createdAt };
  }
}

const neverTried = {
  attempts: 1,
  nextAttemptAt: null,
  deliveredAt: null,
  lastAttemptAt: null,
  lastStatus: null,
  lastError: null,
};

function inOrder(events: readonly string[]): string[] {
  return webhookEventTypes.filter((type) => events.includes(type));
}

/** The name of a webhook that was given none. */
function hostOf(url: string): string {
  return new URL(url).host;
}

function tooManyWebhooks(projectId: string): ApiError {
  const message = `The project '${projectId}' has ${WEBHOOKS_PER_PROJECT} webhooks, which is as many as it may have. Delete one first.`;
  return new ApiError(400, message, { code: "too_many_webhooks" });
}

function noSuchWebhook(id: string, param: "id" | "after" = "id"): never {
  throw new ApiError(404, `No webhook endpoint found with id '${id}'.`, { param });
}
