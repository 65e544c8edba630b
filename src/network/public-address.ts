// Which addresses belong to the public internet. Everything else (this machine, private networks, the
// metadata services of clouds) is refused to URLs that clients of the API choose. Judges addresses, not
// names: those are judged by what they resolve to, at the moment of connecting.

import { BlockList, isIP } from "node:net";

/** Special-purpose ranges of IPv4 (IANA's registry, RFC 6890), and what no public server has. */
const REFUSED_IPV4 = [
  "0.0.0.0/8", // this host
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT
  "127.0.0.0/8", // loopback
  "168.63.129.16/32", // Azure's platform services, reached from inside only
  "169.254.0.0/16", // link-local, and the metadata services of clouds
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
];

/**
 * All that is assigned to public IPv6 so far. Outside of it are loopback, unspecified, private, link-local and
 * multicast addresses, and those that carry an IPv4 address (mapped, compatible, NAT64).
 */
const GLOBAL_IPV6 = ["2000::/3"];

/** Special-purpose ranges inside of it. */
const REFUSED_IPV6 = [
  "2001::/23", // protocol assignments: Teredo, benchmarks, ORCHID
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4: carries an IPv4 address
  "3fff::/20", // documentation
];

// A list each: rules of IPv6 apply to IPv4 addresses too, in their mapped form.
const refusedIpv4 = blockList("ipv4", REFUSED_IPV4);
const globalIpv6 = blockList("ipv6", GLOBAL_IPV6);
const refusedIpv6 = blockList("ipv6", REFUSED_IPV6);

function blockList(family: "ipv4" | "ipv6", ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network, prefix] = range.split("/") as [string, string];
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}

/** Whether it is an address of the public internet. False for what is no IP address, and with a zone (`%eth0`). */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !refusedIpv4.check(address, "ipv4");
    case 6:
      return (
        !address.includes("%") &&
        globalIpv6.check(address, "ipv6") &&
        !refusedIpv6.check(address, "ipv6")
      );
    default:
      return false;
  }
}
