// A host of its own for one process of a test: a network namespace of Linux, with a link to this host for each
// service that the process uses. A link that is down loses every packet, in both directions, and says nothing:
// as a cut cable does. Needs root.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
/** Of the addresses used: 10.231.NAMESPACE.4×LINK. Nothing routes them. */
const NETWORK = "10.231";
/** Namespaces of other processes of the machine have other names and, most likely, other addresses. */
const PROCESS = process.pid.toString(36);
const MOST_NAMESPACES = 8;

export class NetworkNamespace<Link extends string> implements AsyncDisposable {
  /** To be put in front of a command that is to run there. */
  readonly through: readonly string[];
  readonly #name: string;
  readonly #number: number;
  readonly #links: readonly Link[];

  private constructor(name: string, number: number, links: readonly Link[]) {
    this.#name = name;
    this.#number = number;
    this.#links = links;
    this.through = ["ip", "netns", "exec", name];
  }

  /** @param number unlike that of any other namespace of this process, 1 to 8 */
  static async create<Link extends string>(
    number: number,
    links: readonly Link[],
  ): Promise<NetworkNamespace<Link>> {
    if (process.getuid?.() !== 0) {
      throw new Error("Network namespaces need root on Linux: run this test as root.");
    }
    const name = `offpeak-${PROCESS}-${number}`;
    await run("ip", ["netns", "add", name]);
    const namespace = new NetworkNamespace(name, number, links);
    try {
      await namespace.#inside("link", "set", "lo", "up");
      for (const link of links) await namespace.#connect(link);
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
    return namespace;
  }

  /** Where this host is reached from there, on that link. */
  hostAddress(link: Link): string {
    return this.#address(link, 1);
  }

  /** Where the namespace is reached from this host, on that link. */
  address(link: Link): string {
    return this.#address(link, 2);
  }

  async cut(link: Link): Promise<void> {
    await run("ip", ["link", "set", this.#device(link, "h"), "down"]);
  }

  async mend(link: Link): Promise<void> {
    await run("ip", ["link", "set", this.#device(link, "h"), "up"]);
  }

  async #connect(link: Link): Promise<void> {
    const [outside, inside] = [this.#device(link, "h"), this.#device(link, "n")];
    await run("ip", ["link", "add", outside, "type", "veth", "peer", "name", inside]);
    await run("ip", ["link", "set", inside, "netns", this.#name]);
    await run("ip", ["addr", "add", `${this.hostAddress(link)}/30`, "dev", outside]);
    await run("ip", ["link", "set", outside, "up"]);
    await this.#inside("addr", "add", `${this.address(link)}/30`, "dev", inside);
    await this.#inside("link", "set", inside, "up");
  }

  async #inside(...args: string[]): Promise<void> {
    await run("ip", ["-n", this.#name, ...args]);
  }

  /** The kernel takes 15 characters. */
  #device(link: Link, end: "h" | "n"): string {
    return `op${PROCESS}-${this.#number}${this.#links.indexOf(link)}${end}`;
  }

  #address(link: Link, end: 1 | 2): string {
    const namespace = ((process.pid * MOST_NAMESPACES + this.#number) % 254) + 1;
    return `${NETWORK}.${namespace}.${4 * this.#links.indexOf(link) + end}`;
  }

  /** The links go with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await run("ip", ["netns", "delete", this.#name]);
  }
}
