// Writing answers on the wire: headers that every answer carries, bodies in one write.
import type { ServerResponse } from "node:http";
import { type Refusal, refusalBody } from "./refusal.ts";

export const SIMULATED_HEADERS: readonly string[] = ["x-offpeak-simulator", "true"];

/** Sends a JSON body in one write; `headers` are more headers, name and value in turn. */
export function replyJson(
  response: ServerResponse,
  status: number,
  body: string,
  headers: readonly string[] = [],
): void {
  response.writeHead(status, [
    ...SIMULATED_HEADERS,
    "content-type",
    "application/json",
    "content-length",
    String(Buffer.byteLength(body)),
    ...headers,
  ]);
  response.end(body);
}

/** Sends a refusal; one that asks the client to slow down (429) says for how long. */
export function replyRefusal(
  response: ServerResponse,
  refusal: Refusal,
  retryAfterSeconds: number,
  headers: readonly string[] = [],
): void {
  const retry = refusal.status === 429 ? ["retry-after", String(retryAfterSeconds)] : [];
  replyJson(response, refusal.status, refusalBody(refusal), [...retry, ...headers]);
}
