// One attempt to deliver an event: signs it as Standard Webhooks says, sends it, and says what came of
// it as a value. Follows no redirects, and nothing the receiver does takes longer than the timeout.

import { Webhook as Signer } from "standardwebhooks";
import { Client, type Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import type { DueDelivery } from "../core/webhook-store.ts";
import { type WebhookDelivery, signingSecrets, webhookBody } from "../core/webhook.ts";
import { guardedConnector } from "../network/guarded-connector.ts";
import { describeNetworkError } from "../network/network-error.ts";
import { checkOutgoingUrl } from "../network/outgoing-url.ts";
import { readRetryAfter } from "../network/retry-after.ts";

/** What is read of an answer, so that a receiver can finish it; nobody looks at it. */
const MAX_ANSWER_BYTES = 4_096;
const MAX_ERROR_LENGTH = 300;
const TIMEOUT_MS = 15_000;

export interface WebhookRequestOptions {
  clock: Clock;
  /** Gives the signing secret (`whsec_…`); may throw. */
  unseal: (sealedSecret: string) => string;
  allowPrivateAddresses: boolean;
  /** For everything from the name's lookup to the end of the answer; 15 s when left out. */
  timeoutMs?: number;
}

export interface WebhookResult {
  /** HTTP status; null when there was no answer. */
  status: number | null;
  /** Null when it was delivered. One line for people, without the secret or the URL's path and query. */
  error: string | null;
  /** What the receiver asked for by a 429 or 503. */
  retryAfterMs: number | null;
}

/** Sends it once. Never throws, except for the reason of `stopping` when that came first. */
export async function sendWebhook(
  { delivery, webhook }: DueDelivery,
  {
    clock,
    unseal,
    allowPrivateAddresses: allowPrivate,
    timeoutMs = TIMEOUT_MS,
  }: WebhookRequestOptions,
  stopping: AbortSignal,
): Promise<WebhookResult> {
  stopping.throwIfAborted();
  const ending = new AbortController();
  const end = () => ending.abort();
  const timer = setTimeout(end, timeoutMs);
  stopping.addEventListener("abort", end);
  let client: Client | null = null;
  let status: number | null = null;
  try {
    // Judged again: the server may have become stricter since the webhook was made.
    const { origin, pathname, search } = checkOutgoingUrl(webhook.url, { allowPrivate });
    const body = webhookBody(delivery);
    const now = clock.now();
    const secrets = signingSecrets(webhook, now).map((sealed) => readSecret(unseal, sealed));
    const headers = signedHeaders(delivery, body, secrets, now);
    client = new Client(origin, {
      connect: guardedConnector({ allowPrivate, signal: ending.signal }),
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    const path = pathname + search;
    const answer = await client.request({ method: "POST", path, headers, body, reset: true });
    status = answer.statusCode;
    await discard(answer.body);
    const asksToWait = status === 429 || status === 503;
    return {
      status,
      error: describeStatus(status),
      retryAfterMs: asksToWait ? readRetryAfter(answer.headers, clock.now()) : null,
    };
  } catch (error) {
    stopping.throwIfAborted();
    const reason = ending.signal.aborted
      ? `The receiver gave no complete answer within ${timeoutMs / 1_000} s.`
      : oneLine(describeNetworkError(error));
    return { status, error: reason, retryAfterMs: null };
  } finally {
    clearTimeout(timer);
    stopping.removeEventListener("abort", end);
    await client?.destroy();
  }
}

function readSecret(unseal: WebhookRequestOptions["unseal"], sealedSecret: string): Signer {
  try {
    return new Signer(unseal(sealedSecret));
  } catch (error) {
    throw new Error(`The signing secret can't be read: ${describeNetworkError(error)}`, {
      cause: error,
    });
  }
}

function signedHeaders(
  { id }: WebhookDelivery,
  body: string,
  secrets: readonly Signer[],
  now: number,
): Record<string, string> {
  return {
    "content-type": "application/json",
    "user-agent": "offpeak",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now / 1_000)),
    // A receiver takes it if one of them is made with the secret it knows.
    "webhook-signature": secrets.map((secret) => secret.sign(id, new Date(now), body)).join(" "),
  };
}

async function discard(body: Dispatcher.ResponseData["body"]): Promise<void> {
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > MAX_ANSWER_BYTES) break;
  }
}

function describeStatus(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status === 410) return "The receiver answered 410: it wants this event no more.";
  if (status >= 300 && status < 400) {
    return `The receiver answered ${status}. Redirects are not followed; give the final URL.`;
  }
  return `The receiver answered ${status}.`;
}

/** What a receiver may have a hand in, such as the names in its certificate. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").slice(0, MAX_ERROR_LENGTH);
}
