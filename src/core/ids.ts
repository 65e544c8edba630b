// Identifiers in the shapes the OpenAI API uses. Unguessable where a client holds them.

const BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const FILE_ID_LENGTH = 22;

function randomHex(byteCount: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(byteCount));
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

function timeHex(nowMs: number): string {
  return (Math.floor(nowMs / 1000) >>> 0).toString(16).padStart(8, "0");
}

/** `batch_` + 32 hex digits, the first 8 of which are the creation time in seconds. */
export function newBatchId(nowMs: number): string {
  return `batch_${timeHex(nowMs)}${randomHex(12)}`;
}

/** So many random characters of the base62 alphabet. */
export function randomBase62(length: number): string {
  let text = "";
  while (text.length < length) {
    // 248 = 4 × 62: larger bytes would favour the first letters of the alphabet.
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      if (byte < 248 && text.length < length) text += BASE62[byte % 62];
    }
  }
  return text;
}

/** `file-` + 22 base62 characters. */
export function newFileId(): string {
  return `file-${randomBase62(FILE_ID_LENGTH)}`;
}

/** `upload_` + 32 hex digits. */
export function newUploadId(): string {
  return `upload_${randomHex(16)}`;
}

/** `part_` + 32 hex digits. */
export function newPartId(): string {
  return `part_${randomHex(16)}`;
}

/** `whe_` + 32 hex digits. */
export function newWebhookId(): string {
  return `whe_${randomHex(16)}`;
}

/** `evt_` + 32 hex digits: an event, however many webhooks get it. */
export function newEventId(): string {
  return `evt_${randomHex(16)}`;
}

/** `wh_` + 32 hex digits: one event on its way to one webhook. */
export function newDeliveryId(): string {
  return `wh_${randomHex(16)}`;
}

/** `req_` + 32 hex digits: the `x-request-id` of an HTTP answer. */
export function newHttpRequestId(): string {
  return `req_${randomHex(16)}`;
}

/** A node's name in leases: unique for each start of a process. */
export function newNodeId(): string {
  return `node_${randomHex(12)}`;
}

/**
 * Makes the two ids of result lines: cheap, because there is one of each for every line. Unique
 * through 8 random bytes for each start plus a counter; they need not be unguessable.
 */
export class ResultIds {
  readonly #stem = randomHex(8);
  #counter = 0;
  #second = -1;
  /** Time and stem: the same for all ids of a second. */
  #head = "";

  /** `batch_req_` + 32 hex digits, the first 8 of which are the time in seconds. */
  lineId(nowMs: number): string {
    return `batch_req_${this.requestId(nowMs)}`;
  }

  /** 32 hex digits without a prefix, as the answers in OpenAI's output files have it. */
  requestId(nowMs: number): string {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#head = timeHex(nowMs) + this.#stem;
    }
    this.#counter = (this.#counter + 1) >>> 0;
    return this.#head + this.#counter.toString(16).padStart(8, "0");
  }
}
