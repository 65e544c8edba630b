// Delivers the events of the outbox. At least once: an attempt is counted before it is sent, and what is
// not recorded as delivered is sent again under the same id, for three days. Webhooks take turns, and
// each has few attempts at once, so that slow receivers keep nobody else waiting.

import type { DueDelivery, WebhookStore } from "../core/webhook-store.ts";
import type { WebhookDelivery } from "../core/webhook.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { OutageLog } from "../observability/outage-log.ts";
import { nextAttemptAt } from "./retry-schedule.ts";
import { sendWebhook, type WebhookRequestOptions, type WebhookResult } from "./webhook-request.ts";

const MAX_AT_ONCE = 16;
const MAX_AT_ONCE_PER_WEBHOOK = 4;
/** Longer than an attempt takes; what a dead process had is sent again after it. */
const CLAIM_MS = 60_000;
/** The receiver's own word that it wants the event no more, as Standard Webhooks has it. */
const GONE = 410;

export interface WebhookDelivererOptions extends WebhookRequestOptions {
  store: Pick<WebhookStore, "claimDue" | "recordAttempt">;
  log: Log;
  metrics: Pick<Metrics, "webhookAttempts">;
  /** How often it looks for due deliveries without being woken. */
  pollMs: number;
}

export class WebhookDeliverer {
  readonly #options: WebhookDelivererOptions;
  readonly #outage: OutageLog;
  readonly #stopping = new AbortController();
  /** Attempts under way, with the webhook of each. */
  readonly #sending = new Map<Promise<void>, string>();
  /** Webhooks that had their turn in this round. */
  readonly #served = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #isWoken = false;

  constructor(options: WebhookDelivererOptions) {
    this.#options = options;
    this.#outage = new OutageLog(options.log, {
      begins: "could not look for webhook deliveries; will try again",
      ends: "webhook deliveries are looked for again",
    });
  }

  start(): void {
    this.wake();
  }

  /** Looks for due deliveries now; from then on it also looks every so often by itself. */
  wake(): void {
    this.#isWoken = true;
    if (this.#stopping.signal.aborted || this.#running) return;
    clearTimeout(this.#timer);
    this.#running = this.#run();
  }

  /** Cuts the attempts under way; they are made again when their claims are over or voided. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("The server is stopping."));
    clearTimeout(this.#timer);
    await this.#running;
    await Promise.all(this.#sending.keys());
  }

  async #run(): Promise<void> {
    const { pollMs } = this.#options;
    const { signal } = this.#stopping;
    try {
      while (this.#isWoken && !signal.aborted) {
        this.#isWoken = false;
        await this.#sendDue();
        this.#outage.succeeded();
      }
    } catch (error) {
      // The next poll tries again; at once would be a busy loop.
      this.#outage.failed(error);
    }
    this.#running = null;
    if (!signal.aborted) this.#timer = setTimeout(() => this.wake(), pollMs);
  }

  /** Fills the free places. A webhook gets some in its turn, and again when all of those are free. */
  async #sendDue(): Promise<void> {
    const { store, clock } = this.#options;
    while (!this.#stopping.signal.aborted) {
      const limit = Math.min(MAX_AT_ONCE - this.#sending.size, MAX_AT_ONCE_PER_WEBHOOK);
      if (limit === 0) return;
      const except = [...new Set([...this.#sending.values(), ...this.#served])];
      const claimed = await store.claimDue(clock.now(), CLAIM_MS, limit, except);
      if (claimed.length === 0) {
        if (this.#served.size === 0) return;
        this.#served.clear();
      }
      for (const due of claimed) {
        const { webhookId } = due.delivery;
        this.#served.add(webhookId);
        const sent = this.#send(due).finally(() => {
          this.#sending.delete(sent);
          this.wake();
        });
        this.#sending.set(sent, webhookId);
      }
    }
  }

  /** Sends it and records what came of it. Never throws. */
  async #send(due: DueDelivery): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#options;
    try {
      const result = await sendWebhook(due, this.#options, signal);
      await this.#record(due.delivery, result);
    } catch (error) {
      if (signal.aborted) return;
      log.error(
        { err: error, ...named(due.delivery) },
        "could not record a webhook delivery; it will be sent again",
      );
    }
  }

  async #record(delivery: WebhookDelivery, result: WebhookResult): Promise<void> {
    const { store, clock, log, metrics } = this.#options;
    const { status, error, retryAfterMs } = result;
    const at = clock.now();
    const isOver = error === null || status === GONE;
    const next = isOver ? null : nextAttemptAt(delivery, retryAfterMs, at, Math.random());
    const attempt = { at, status, error, nextAttemptAt: next };
    await store.recordAttempt(delivery.id, delivery.attempts, attempt);
    const failure = next === null ? "given_up" : "failed";
    metrics.webhookAttempts.inc({ result: error === null ? "delivered" : failure });
    const facts = { ...named(delivery), attempts: delivery.attempts, status, error };
    if (error === null) log.debug(facts, "webhook delivered");
    else if (next === null) log.warn(facts, "webhook delivery given up");
    else log.debug({ ...facts, retry_in_ms: next - at }, "webhook not delivered; will try again");
  }
}

function named({ id, webhookId, eventType, objectId }: WebhookDelivery) {
  return { delivery_id: id, webhook_id: webhookId, event_type: eventType, object_id: objectId };
}
