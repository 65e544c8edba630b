// HTTP as no SDK would send it: any header, any body, any split of the body into chunks.
import { type IncomingHttpHeaders, request } from "node:http";
import { buffer } from "node:stream/consumers";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  text: string;
  /** The body as JSON; undefined when it is none. */
  json: unknown;
}

export interface RawRequest {
  method?: string;
  headers?: Record<string, string>;
  /** A list is sent in HTTP chunks, one for each element, which the server reads one by one. */
  body?: string | Uint8Array | readonly Uint8Array[];
}

/** Sends one request on a connection of its own. */
export async function send(
  baseUrl: string,
  path: string,
  { method = "GET", headers = {}, body }: RawRequest = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { hostname, port } = new URL(baseUrl);
  const options = { hostname, port, path, method, headers: { ...framing(body), ...headers } };
  const outgoing = request({ ...options, agent: false }, (incoming) => {
    buffer(incoming).then((bytes) => {
      const text = bytes.toString();
      const { statusCode: status = 0, headers: received } = incoming;
      resolve({ status, headers: received, bytes, text, json: parsed(text) });
    }, reject);
  });
  outgoing.on("error", reject);
  if (Array.isArray(body)) {
    for (const chunk of body as readonly Uint8Array[]) outgoing.write(chunk);
    outgoing.end();
  } else {
    outgoing.end(body as string | Uint8Array | undefined);
  }
  return promise;
}

/** Node.js frames bodies by itself only for some methods. */
function framing(body: RawRequest["body"]): Record<string, string> {
  if (body === undefined) return {};
  if (Array.isArray(body)) return { "transfer-encoding": "chunked" };
  return { "content-length": String(Buffer.byteLength(body as string | Uint8Array)) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A JSON body with its header. */
export function json(value: unknown): Pick<RawRequest, "headers" | "body"> {
  return { headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}
