// What becomes of a request that was answered before all of it had arrived: the rest is read and
// dropped, within limits, so that a client that sends everything before it listens gets its answer.
import type { IncomingMessage } from "node:http";

const DRAINED_BYTES = 1024 ** 3;
const DRAINED_MS = 60_000;

/** Reads the rest of the request and drops it; beyond the limits the connection is cut. */
export function drain(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const cut = () => request.socket.destroy();
  const timer = setTimeout(cut, DRAINED_MS).unref();
  let leftBytes = DRAINED_BYTES;
  request.unpipe();
  request.on("data", (chunk: Buffer) => {
    leftBytes -= chunk.length;
    if (leftBytes < 0) cut();
  });
  request.on("close", () => clearTimeout(timer));
  request.resume();
}
