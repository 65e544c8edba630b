// Outgoing connections to hosts that clients of the API chose. The address is judged when the connection
// is made, and it is the very one connected to: a name that meant something else when its URL was
// checked (DNS rebinding) gains nothing.

import { lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { buildConnector } from "undici";
import { AddressRefusedError } from "./outgoing-url.ts";
import { isPublicAddress } from "./public-address.ts";

export interface GuardedConnectorOptions {
  /** Connects to any address. */
  allowPrivate: boolean;
  /** Ends the connection, also one that is still being made. */
  signal?: AbortSignal;
  /** Resolves names; the system's way when left out. */
  resolve?: LookupFunction;
}

/**
 * The `connect` option of an undici Client or Agent. A refused address fails the request with an
 * AddressRefusedError. Undici follows no redirects by itself; who does so connects through here again.
 */
export function guardedConnector({
  allowPrivate,
  resolve = lookup,
  ...options
}: GuardedConnectorOptions): buildConnector.connector {
  const connect = buildConnector({
    ...options,
    allowH2: false,
    // The caller's signal is exact; undici's own timer is coarse.
    ...(options.signal && { timeout: 0 }),
    lookup: allowPrivate ? resolve : publicOnly(resolve),
  });
  return (target, callback) => {
    const { hostname } = target;
    // An address is not looked up, so it is judged here.
    if (!allowPrivate && isIP(hostname) !== 0 && !isPublicAddress(hostname)) {
      callback(new AddressRefusedError(hostname), null);
    } else {
      connect(target, callback);
    }
  };
}

/**
 * Refuses a name if any of its addresses is refused. Using only the others would be as safe, but a name
 * that points both outside and inside is an attack or a mistake, and should fail every time, not by chance.
 */
function publicOnly(resolve: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, found) => {
      const addresses = Array.isArray(found) ? found : [];
      const refused = addresses.find(({ address }) => !isPublicAddress(address));
      const [first] = addresses;
      if (error) callback(error, []);
      else if (refused) callback(new AddressRefusedError(hostname), []);
      else if (!first) callback(new Error(`${hostname} has no address`), []);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}
