// Fetches the file behind a URL that stands in a client's request. Addresses are judged as the
// connections are made; a few redirects are followed, and judged alike.

import { Client, type Dispatcher } from "undici";
import { type RemoteFile, RemoteFileRefusedError } from "../core/remote-file.ts";
import { guardedConnector } from "./guarded-connector.ts";
import { OutgoingUrlError, checkOutgoingUrl } from "./outgoing-url.ts";

const MAX_REDIRECTS = 3;
const TIMEOUT_MS = 60_000;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** The server is there, and can't give the file just now. */
class ServerTroubleError extends Error {}

export interface FetchOptions {
  /** Of the file; a larger one is refused. */
  maxBytes: number;
  /** Ends it; it then throws the signal's reason. */
  signal: AbortSignal;
  /** Also from http URLs, this machine and private networks. */
  allowPrivate: boolean;
}

/**
 * The file. Throws RemoteFileRefusedError for what another try can't change (its address, 4xx, too large), and
 * any other error for what it may.
 */
export async function fetchRemoteFile(url: string, options: FetchOptions): Promise<RemoteFile> {
  let next = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await request(next, options);
    if (!("location" in answer)) return answer;
    next = answer.location;
  }
  throw new RemoteFileRefusedError(`it redirects more than ${MAX_REDIRECTS} times`);
}

async function request(
  text: string,
  { maxBytes, signal, allowPrivate }: FetchOptions,
): Promise<RemoteFile | { location: string }> {
  const url = checked(text, allowPrivate);
  const ending = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const client = new Client(url.origin, {
    connect: guardedConnector({ allowPrivate, signal: ending }),
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  try {
    const { statusCode, headers, body } = await client.request({
      method: "GET",
      path: url.pathname + url.search,
      headers: { accept: "*/*", "user-agent": "offpeak" },
      signal: ending,
    });
    if (REDIRECTS.has(statusCode)) return { location: locationOf(headers["location"], url) };
    if (statusCode >= 500 || statusCode === 429)
      throw new ServerTroubleError(`it answered ${statusCode}`);
    if (statusCode !== 200) throw new RemoteFileRefusedError(`it answered ${statusCode}`);
    return {
      bytes: await collect(body, maxBytes),
      contentType: first(headers["content-type"]) ?? null,
    };
  } catch (error) {
    signal.throwIfAborted();
    throw inOtherWords(error);
  } finally {
    await client.destroy();
  }
}

function checked(text: string, allowPrivate: boolean): URL {
  try {
    return checkOutgoingUrl(text, { allowPrivate });
  } catch (error) {
    throw inOtherWords(error);
  }
}

/** In words that name no address: whoever named the URL reads them. */
function inOtherWords(error: unknown): unknown {
  if (error instanceof OutgoingUrlError) return new RemoteFileRefusedError(error.message);
  if (error instanceof RemoteFileRefusedError || error instanceof ServerTroubleError) return error;
  const { code } = Object(error) as { code?: unknown };
  const why = typeof code === "string" ? ` (${code})` : "";
  return new Error(`it could not be reached${why}`, { cause: error });
}

function locationOf(header: string | string[] | undefined, base: URL): string {
  const location = URL.parse(first(header) ?? "", base);
  if (location && header) return location.href;
  throw new RemoteFileRefusedError("it redirects to nowhere");
}

function first(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

async function collect(
  body: Dispatcher.ResponseData["body"],
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) {
      throw new RemoteFileRefusedError(`it is larger than the ${maxBytes} bytes allowed`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
