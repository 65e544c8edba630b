// The ways in which an answer that was worth computing reaches the client: whole, as a stream of tokens, or
// spoilt on purpose.
import type { ServerResponse } from "node:http";
import type { EventStream } from "./event-stream.ts";
import { SIMULATED_HEADERS } from "./reply.ts";

/** Runs `then` after `delayMs`, unless the client is gone by then. */
export type After = (delayMs: number, then: () => void) => void;

export interface Payload {
  contentType: "application/json" | "text/event-stream";
  body: string;
}

const MAX_DRIPS = 2_000;
const GARBAGE = "<html><body>Simulated garbage: a page instead of JSON {{{</body></html>\n";

export function deliverWhole(response: ServerResponse, payload: Payload): void {
  writeHead(response, payload);
  response.end(payload.body);
}

/** Promises the whole body, sends half of it and drops the connection. */
export function deliverCut(response: ServerResponse, payload: Payload): void {
  writeHead(response, payload);
  const half = payload.body.slice(0, Math.ceil(payload.body.length / 2));
  response.write(half, () => response.socket?.destroy());
}

/** A 200 that is no JSON at all. */
export function deliverGarbage(response: ServerResponse): void {
  response.writeHead(200, [...SIMULATED_HEADERS, "content-type", "text/html"]);
  response.end(GARBAGE);
}

/** The right body, byte by byte with a pause between; a long one in at most 2,000 pieces. */
export function deliverDrip(
  response: ServerResponse,
  payload: Payload,
  after: After,
  intervalMs: number,
): void {
  writeHead(response, payload);
  const bytes = Buffer.from(payload.body);
  const step = Math.ceil(bytes.length / MAX_DRIPS);
  let offset = 0;
  const drip = () => {
    const piece = bytes.subarray(offset, offset + step);
    offset += step;
    if (offset >= bytes.length) {
      response.end(piece);
      return;
    }
    response.write(piece);
    after(intervalMs, drip);
  };
  drip();
}

/** The events of a stream, a pause before each token but the first. */
export function deliverStream(
  response: ServerResponse,
  stream: EventStream,
  after: After,
  interTokenMs: number,
): void {
  response.writeHead(200, [...SIMULATED_HEADERS, "content-type", "text/event-stream"]);
  if (interTokenMs === 0) {
    response.end(wholeStream(stream));
    return;
  }
  response.write(stream.opening);
  let sent = 0;
  const next = () => {
    response.write(stream.tokens[sent++] ?? "");
    if (sent < stream.tokens.length) after(interTokenMs, next);
    else response.end(stream.closing);
  };
  next();
}

export function wholeStream({ opening, tokens, closing }: EventStream): string {
  return opening + tokens.join("") + closing;
}

function writeHead(response: ServerResponse, { contentType, body }: Payload): void {
  response.writeHead(200, [
    ...SIMULATED_HEADERS,
    "content-type",
    contentType,
    "content-length",
    String(Buffer.byteLength(body)),
  ]);
}
