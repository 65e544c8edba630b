// Bytes to a server that need not be HTTP, and what it says to them before it closes the connection.
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";

export interface RawReply {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The body as JSON; undefined when it is none. */
  json: unknown;
}

const HEAD_END = "\r\n\r\n";

/**
 * Sends the bytes, says that no more will come, and reads until the server closes. Undefined when it closed
 * without a word, as it may when it gets nothing or half a request.
 */
export async function exchange(
  url: string,
  bytes: string | Uint8Array,
): Promise<RawReply | undefined> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const received: Uint8Array[] = [];
  socket.on("data", (chunk: Uint8Array) => received.push(chunk));
  // A server that has refused what is too long need not read all of it.
  socket.on("error", () => {});
  const closed = new Promise((done) => socket.once("close", done));
  socket.end(bytes);
  await closed;
  return replyIn(Buffer.concat(received));
}

/** The first reply: what looks like two requests has two. */
function replyIn(received: Buffer): RawReply | undefined {
  const headEnd = received.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const [first = "", ...lines] = received.toString("latin1", 0, headEnd).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const [name = "", ...value] = line.split(":");
      return [name.toLowerCase(), value.join(":").trim()];
    }),
  );
  const bodyStart = headEnd + HEAD_END.length;
  const bodyEnd = bodyStart + Number(headers["content-length"] ?? received.length);
  const text = received.toString("utf8", bodyStart, Math.min(bodyEnd, received.length));
  return { status: Number(first.split(" ")[1]), headers, text, json: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
