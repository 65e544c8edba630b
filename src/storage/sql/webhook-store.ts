// Webhooks in SQL: who wants to hear of what.

import { ConflictError, LimitExceededError } from "../../core/store.ts";
import type { WebhookStore } from "../../core/webhook-store.ts";
import type { Webhook } from "../../core/webhook.ts";
import type { WebhookRow } from "./schema.ts";
import type { SqlDatabase } from "./sql-database.ts";

export function webhookStore(
  database: SqlDatabase,
): Pick<WebhookStore, "insert" | "get" | "list" | "update" | "delete"> {
  return {
    insert: (webhook, maxPerProject = Number.MAX_SAFE_INTEGER) =>
      database.write(async (tx) => {
        await database.lock(tx, `webhooks of ${webhook.projectId}`);
        const { held } = await tx
          .selectFrom("webhooks")
          .select((query) => query.fn.countAll<number>().as("held"))
          .where("project_id", "=", webhook.projectId)
          .executeTakeFirstOrThrow();
        if (held >= maxPerProject) throw new LimitExceededError("webhooks", maxPerProject);
        const inserted = await tx
          .insertInto("webhooks")
          .values({
            id: webhook.id,
            project_id: webhook.projectId,
            created_at: webhook.createdAt,
            ...changeable(webhook),
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

    update: (before, after) =>
      database.write(async (tx) => {
        const row = await tx
          .selectFrom("webhooks")
          .selectAll()
          .where("id", "=", before.id)
          .forNoKeyUpdate()
          .executeTakeFirst();
        const asRead = JSON.stringify(changeable(before));
        if (row === undefined || JSON.stringify(changeable(toWebhook(row))) !== asRead)
          return false;
        await tx
          .updateTable("webhooks")
          .set(changeable(after))
          .where("id", "=", before.id)
          .execute();
        return true;
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

function changeable(webhook: Webhook) {
  return {
    name: webhook.name,
    url: webhook.url,
    events: JSON.stringify(webhook.events),
    updated_at: webhook.updatedAt,
    sealed_secret: webhook.sealedSecret,
    secret_hint: webhook.secretHint,
    previous_sealed_secret: webhook.previousSecret?.sealedSecret ?? null,
    previous_secret_until: webhook.previousSecret?.validUntil ?? null,
  };
}

export function toWebhook(row: WebhookRow): Webhook {
  const { previous_sealed_secret: sealedSecret, previous_secret_until: validUntil } = row;
  return {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    url: row.url,
    events: eventsOf(row),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    sealedSecret: row.sealed_secret,
    secretHint: row.secret_hint,
    previousSecret:
      sealedSecret === null || validUntil === null ? null : { sealedSecret, validUntil },
  };
}

export function eventsOf({ events }: Pick<WebhookRow, "events">): string[] {
  return JSON.parse(events) as string[];
}
