// The part of the Store that knows webhooks and their outbox. A change of a batch's status to one that
// nothing follows adds a delivery for every webhook of its project that wants the event, in the same
// step. Promises as in store.ts.

import type { Webhook, WebhookDelivery } from "./webhook.ts";

/** A delivery whose turn it is, with what is needed to send it. */
export interface DueDelivery {
  delivery: WebhookDelivery;
  webhook: Webhook;
}

/** What became of an attempt. */
export interface WebhookAttempt {
  at: number;
  /** HTTP status; null when there was no answer. */
  status: number | null;
  /** Null when it was delivered. */
  error: string | null;
  /** When to try again; null: delivered, or given up. */
  nextAttemptAt: number | null;
}

export interface WebhookStore {
  /**
   * Throws ConflictError when the id exists; LimitExceededError ("webhooks") when the project has
   * `maxPerProject` already.
   */
  insert(webhook: Webhook, maxPerProject?: number): Promise<void>;
  get(id: string): Promise<Webhook | undefined>;
  /** Oldest first; all projects' without one. */
  list(projectId?: string): Promise<Webhook[]>;
  /**
   * Replaces all but its id, project and creation. False when there is none that is as `before`: somebody else
   * has changed it.
   */
  update(before: Webhook, after: Webhook): Promise<boolean>;
  /** Its deliveries go with it. False when there is none. */
  delete(id: string): Promise<boolean>;
  /** Adds a delivery by hand: for the test event. Throws NotFoundError when there is no such webhook. */
  addDelivery(
    event: Pick<
      WebhookDelivery,
      "id" | "webhookId" | "eventId" | "eventType" | "objectId" | "createdAt"
    >,
  ): Promise<void>;
  /**
   * Takes up to `limit` deliveries that are due at `now`, the longest due first: counts the attempt, and
   * makes each due again `leaseMs` later, in case the one who took it dies. Two callers never get the same one.
   * @param except webhooks whose deliveries are left out
   */
  claimDue(
    now: number,
    leaseMs: number,
    limit: number,
    except?: readonly string[],
  ): Promise<DueDelivery[]>;
  /**
   * Notes what became of attempt number `attempt`, and ends its claim. Harmless when the delivery is
   * gone or has been claimed again since.
   */
  recordAttempt(deliveryId: string, attempt: number, outcome: WebhookAttempt): Promise<void>;
  /** The newest deliveries first. */
  deliveries(webhookId: string, limit: number): Promise<WebhookDelivery[]>;
  /** Forgets deliveries that ended before `before`. */
  sweepDeliveries(before: number): Promise<void>;
}
