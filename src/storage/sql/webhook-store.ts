// Webhooks in SQL: who wants to hear of what.

import { ConflictError } from "../../core/store.ts";
import type { WebhookStore } from "../../core/webhook-store.ts";
import type { Webhook } from "../../core/webhook.ts";
import type { WebhookRow } from "./schema.ts";
import type { SqlDatabase } from "./sql-database.ts";

export function webhookStore(
  database: SqlDatabase,
): Pick<WebhookStore, "insert" | "get" | "list" | "delete"> {
  return {
    insert: (webhook) =>
      database.write(async (tx) => {
        const inserted = await tx
          .insertInto("webhooks")
          .values({
            id: webhook.id,
            project_id: webhook.projectId,
            url: webhook.url,
            events: JSON.stringify(webhook.events),
            created_at: webhook.createdAt,
            sealed_secret: webhook.sealedSecret,
          })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("seq")
          .executeTakeFirst();
        if (inserted === undefined) {
          throw new ConflictError(`A webhook with the id ${webhook.id} exists.`);
        }
      }),

    get: (id) =>
      database.read(async (tx) => {
        const row = await tx
          .selectFrom("webhooks")
          .selectAll()
          .where("id", "=", id)
          .executeTakeFirst();
        return row && toWebhook(row);
      }),

    list: (projectId) =>
      database.read(async (tx) => {
        let query = tx.selectFrom("webhooks").selectAll().orderBy("seq");
        if (projectId !== undefined) query = query.where("project_id", "=", projectId);
        return (await query.execute()).map(toWebhook);
      }),

    delete: (id) =>
      database.write(async (tx) => {
        // Deliveries go with their webhook.
        const { numDeletedRows } = await tx
          .deleteFrom("webhooks")
          .where("id", "=", id)
          .executeTakeFirst();
        return numDeletedRows > 0n;
      }),
  };
}

function toWebhook(row: WebhookRow): Webhook {
  return {
    id: row.id,
    projectId: row.project_id,
    url: row.url,
    events: eventsOf(row),
    createdAt: row.created_at,
    sealedSecret: row.sealed_secret,
  };
}

export function eventsOf({ events }: Pick<WebhookRow, "events">): string[] {
  return JSON.parse(events) as string[];
}
