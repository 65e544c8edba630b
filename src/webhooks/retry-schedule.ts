// When a delivery that was not taken is tried again: with growing pauses, for three days.

import { backoffMs } from "../core/retry.ts";
import { WEBHOOK_RETRY_MS, type WebhookDelivery } from "../core/webhook.ts";

const PAUSE = { baseMs: 5_000, maxMs: 3_600_000 };

/**
 * Epoch milliseconds of the next attempt; null when the time for it is over.
 * @param retryAfterMs what the receiver asked for: the pause is no shorter
 * @param random in [0, 1)
 */
export function nextAttemptAt(
  { attempts, createdAt }: Pick<WebhookDelivery, "attempts" | "createdAt">,
  retryAfterMs: number | null,
  now: number,
  random: number,
): number | null {
  const at = now + Math.round(Math.max(retryAfterMs ?? 0, backoffMs(attempts, PAUSE, random)));
  return at <= createdAt + WEBHOOK_RETRY_MS ? at : null;
}
