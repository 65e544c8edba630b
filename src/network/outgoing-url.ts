// What a URL that a client of the API chose must look like before anything is sent to it. Judges what
// can be judged without asking anybody; what a name resolves to is judged at the moment of connecting
// (guarded-connector.ts).

import { isIP } from "node:net";
import { isPublicAddress } from "./public-address.ts";

const MAX_URL_LENGTH = 2_048;

/** Nothing is sent to this URL. The message says why, and what to do; it holds no path, query or credentials. */
export class OutgoingUrlError extends Error {
  override readonly name: string = "OutgoingUrlError";
}

/** The host is, or resolves to, an address that is not public. */
export class AddressRefusedError extends OutgoingUrlError {
  override readonly name = "AddressRefusedError";

  constructor(host: string) {
    // What a name of a private network resolves to is not for everybody who may name a URL.
    super(
      `${host} is not on the public internet, or resolves to an address that is not. If it is meant, let the ` +
        "server reach private networks with allow_private_addresses (--allow-private-addresses).",
    );
  }
}

/**
 * Reads a URL to which something will be sent. Throws OutgoingUrlError.
 * @param allowPrivate also http, this machine and private networks
 */
export function checkOutgoingUrl(text: string, { allowPrivate }: { allowPrivate: boolean }): URL {
  if (text.length > MAX_URL_LENGTH) {
    throw new OutgoingUrlError(
      `Expected a URL of at most ${MAX_URL_LENGTH} characters, but got ${text.length}.`,
    );
  }
  const url = URL.parse(text);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new OutgoingUrlError("Expected a URL such as https://example.com/path.");
  }
  if (url.username !== "" || url.password !== "") {
    throw new OutgoingUrlError(`The URL for ${url.hostname} holds credentials. Take them out.`);
  }
  if (allowPrivate) return url;
  if (url.protocol !== "https:") {
    throw new OutgoingUrlError(
      `Expected an https URL for ${url.hostname}, but got http. It is taken only where the server may ` +
        "reach private networks: allow_private_addresses (--allow-private-addresses).",
    );
  }
  // The parser has written every spelling of an IPv4 address, such as 0x7f.1, as four decimal numbers.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isLocalName = /(?:^|\.)localhost\.?$/.test(host);
  if (isLocalName || (isIP(host) !== 0 && !isPublicAddress(host))) {
    throw new AddressRefusedError(host);
  }
  return url;
}
