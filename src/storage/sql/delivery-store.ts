// The outbox of webhooks in SQL. A delivery waits while it has a time for its next attempt; taking it
// moves that time by the lease, so that what a dead node took is due again by itself.

import { sql } from "kysely";
import { newDeliveryId, newEventId } from "../../core/ids.ts";
import { NotFoundError } from "../../core/store.ts";
import type { WebhookStore } from "../../core/webhook-store.ts";
import type { Webhook, WebhookDelivery } from "../../core/webhook.ts";
import type { WebhookDeliveryRow } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";
import { eventsOf, toWebhook } from "./webhook-store.ts";

type DeliveryStore = Pick<
  WebhookStore,
  "addDelivery" | "claimDue" | "recordAttempt" | "deliveries" | "sweepDeliveries"
>;

type NewDelivery = Parameters<WebhookStore["addDelivery"]>[0];

export function deliveryStore(database: SqlDatabase): DeliveryStore {
  return {
    addDelivery: (event) =>
      database.write(async (tx) => {
        const webhook = await tx
          .selectFrom("webhooks")
          .select("id")
          .where("id", "=", event.webhookId)
          .forKeyShare()
          .executeTakeFirst();
        if (webhook === undefined) {
          throw new NotFoundError(`There is no webhook ${event.webhookId}.`);
        }
        await insertDeliveries(tx, [event]);
      }),

    claimDue: async (now, leaseMs, limit, except = []) => {
      const isDue = sql<boolean>`webhook_deliveries.next_attempt_at <= ${now}`;
      // Asked again and again: an idle server takes no write lock.
      const anyDue = sql`select 1 from webhook_deliveries where ${isDue} limit 1`;
      const { rows } = await database.read((tx) => anyDue.execute(tx));
      if (rows.length === 0) return [];
      return database.write(async (tx) => {
        const due = await tx
          .selectFrom("webhook_deliveries")
          .selectAll()
          .where(isDue)
          .where(sql<boolean>`not ${database.isOneOf("webhook_deliveries.webhook_id", except)}`)
          .orderBy("next_attempt_at")
          .orderBy("seq")
          .limit(limit)
          .forNoKeyUpdate()
          .skipLocked()
          .execute();
        const ids = due.map((row) => row.id);
        await tx
          .updateTable("webhook_deliveries")
          .set({
            attempts: sql<number>`attempts + 1`,
            claimed: 1,
            next_attempt_at: now + leaseMs,
          })
          .where(database.isOneOf("webhook_deliveries.id", ids))
          .execute();
        const webhooks = await webhooksOf(database, tx, due);
        return due.map((row) => ({
          delivery: {
            ...toDelivery(row),
            attempts: row.attempts + 1,
            nextAttemptAt: now + leaseMs,
          },
          webhook: webhooks.get(row.webhook_id)!,
        }));
      });
    },

    recordAttempt: (deliveryId, attempt, { at, status, error, nextAttemptAt }) =>
      database.repeatable(async (tx) => {
        await tx
          .updateTable("webhook_deliveries")
          .set({
            claimed: 0,
            next_attempt_at: nextAttemptAt,
            delivered_at: error === null ? at : null,
            last_attempt_at: at,
            last_status: status,
            last_error: error,
          })
          .where("id", "=", deliveryId)
          .where("attempts", "=", attempt)
          .where("claimed", "=", sql.lit(1))
          .execute();
      }),

    deliveries: (webhookId, limit) =>
      database.read(async (tx) => {
        const rows = await tx
          .selectFrom("webhook_deliveries")
          .selectAll()
          .where("webhook_id", "=", webhookId)
          .orderBy("seq", "desc")
          .limit(limit)
          .execute();
        return rows.map(toDelivery);
      }),

    sweepDeliveries: (before) =>
      database.repeatable(async (tx) => {
        await tx
          .deleteFrom("webhook_deliveries")
          .where("next_attempt_at", "is", null)
          .where("last_attempt_at", "<", before)
          .execute();
      }),
  };
}

/** Adds a delivery, due at once, for every webhook of the project that wants the event. */
export async function addEvent(
  tx: Tx,
  projectId: string,
  { type, objectId, at }: { type: string; objectId: string; at: number },
): Promise<void> {
  const webhooks = await tx
    .selectFrom("webhooks")
    .select(["id", "events"])
    .where("project_id", "=", projectId)
    .orderBy("seq")
    // None may go before its delivery is there.
    .forKeyShare()
    .execute();
  const eventId = newEventId();
  const deliveries = webhooks
    .filter((webhook) => eventsOf(webhook).includes(type))
    .map((webhook) => ({
      id: newDeliveryId(),
      webhookId: webhook.id,
      eventId,
      eventType: type,
      objectId,
      createdAt: at,
    }));
  if (deliveries.length > 0) await insertDeliveries(tx, deliveries);
}

/** Whoever had taken a delivery is dead: all that was taken is due at once. */
export async function voidDeliveryClaims(tx: Tx): Promise<void> {
  await tx
    .updateTable("webhook_deliveries")
    .set({ claimed: 0, next_attempt_at: sql.ref<number>("created_at") })
    .where(sql<boolean>`webhook_deliveries.claimed = 1`)
    .execute();
}

async function insertDeliveries(tx: Tx, deliveries: readonly NewDelivery[]): Promise<void> {
  await tx
    .insertInto("webhook_deliveries")
    .values(
      deliveries.map((delivery) => ({
        id: delivery.id,
        webhook_id: delivery.webhookId,
        event_id: delivery.eventId,
        event_type: delivery.eventType,
        object_id: delivery.objectId,
        created_at: delivery.createdAt,
        next_attempt_at: delivery.createdAt,
      })),
    )
    .execute();
}

async function webhooksOf(
  database: SqlDatabase,
  tx: Tx,
  deliveries: readonly WebhookDeliveryRow[],
): Promise<Map<string, Webhook>> {
  const ids = [...new Set(deliveries.map((row) => row.webhook_id))];
  const rows = await tx
    .selectFrom("webhooks")
    .selectAll()
    .where(database.isOneOf("webhooks.id", ids))
    .execute();
  return new Map(rows.map((row) => [row.id, toWebhook(row)]));
}

function toDelivery(row: WebhookDeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    webhookId: row.webhook_id,
    eventId: row.event_id,
    eventType: row.event_type,
    objectId: row.object_id,
    createdAt: row.created_at,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    deliveredAt: row.delivered_at,
    lastAttemptAt: row.last_attempt_at,
    lastStatus: row.last_status,
    lastError: row.last_error,
  };
}
