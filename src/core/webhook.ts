// Webhooks: who wants to hear of what, and the events themselves, in OpenAI's shape.

import { terminalStatuses } from "./batch.ts";

/** `batch.completed`, `batch.failed`, `batch.expired`, `batch.cancelled`. */
export const webhookEventTypes: readonly string[] = terminalStatuses.map(
  (status) => `batch.${status}`,
);

/** All times are epoch milliseconds. */
export interface Webhook {
  id: string;
  projectId: string;
  /** For people. */
  name: string;
  url: string;
  /** Which events it gets; some of `webhookEventTypes`. */
  events: readonly string[];
  createdAt: number;
  /** Of the last change of anything here. */
  updatedAt: number;
  /** The signing secret, encrypted. */
  sealedSecret: string;
  /** So much of the secret that people can tell which it is. */
  secretHint: string;
  /** The secret before, while receivers may still know that one only. */
  previousSecret: { sealedSecret: string; validUntil: number } | null;
}

/** The secrets that sign at `now`, encrypted; the newest first. */
export function signingSecrets({ sealedSecret, previousSecret }: Webhook, now: number): string[] {
  const isKept = previousSecret !== null && now < previousSecret.validUntil;
  return isKept ? [sealedSecret, previousSecret.sealedSecret] : [sealedSecret];
}

/** One event on its way to one webhook. */
export interface WebhookDelivery {
  /** Sent as `webhook-id`: the same at every attempt. */
  id: string;
  webhookId: string;
  eventId: string;
  eventType: string;
  /** What the event is about: the id of a batch. */
  objectId: string;
  createdAt: number;
  /** Attempts begun. */
  attempts: number;
  /** Null once it is delivered or given up. */
  nextAttemptAt: number | null;
  deliveredAt: number | null;
  lastAttemptAt: number | null;
  /** HTTP status of the last attempt; null when there was no answer. */
  lastStatus: number | null;
  /** What went wrong at the last attempt. */
  lastError: string | null;
}

/** How long a delivery is tried again. */
export const WEBHOOK_RETRY_MS = 72 * 3_600_000;

/** The body of a delivery: thin, the receiver asks for the object. */
export function webhookBody({
  eventId,
  eventType,
  objectId,
  createdAt,
}: Pick<WebhookDelivery, "eventId" | "eventType" | "objectId" | "createdAt">): string {
  return JSON.stringify({
    id: eventId,
    object: "event",
    created_at: Math.floor(createdAt / 1_000),
    type: eventType,
    data: { id: objectId },
  });
}
