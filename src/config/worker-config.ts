// The configuration of one worker, and the form in which it travels to its process: no file that has
// changed since can make it another one. Workers get no key but those of the upstreams.
import type { Config } from "./config.ts";
import { Secret } from "./secret.ts";
import type { UpstreamConfig } from "./upstream-config.ts";

/** Plain JSON; of a server with all in its data directory, for only those have workers. Holds the keys of the upstreams in clear text: for the channel to the worker only. */
export type PackedConfig = Omit<Config, "upstreams" | "adminKey" | "secretKey" | "storage"> & {
  upstreams: (Omit<UpstreamConfig, "apiKey"> & { apiKey?: string })[];
};

/** @param number of the worker, from 1: it gets its share of the requests in flight of each upstream */
export function packWorkerConfig(config: Config, number: number): PackedConfig {
  const { adminKey: _, secretKey: __, storage: ___, ...packed } = config;
  const upstreams = config.upstreams.map(({ apiKey, ...upstream }) => ({
    ...upstream,
    concurrency: shareOf(upstream.concurrency, number, config.workers),
    ...(apiKey && { apiKey: apiKey.reveal() }),
  }));
  return { ...packed, upstreams };
}

export function unpackWorkerConfig(packed: PackedConfig): Config {
  const upstreams = packed.upstreams.map(({ apiKey, ...upstream }) => ({
    ...upstream,
    ...(apiKey !== undefined && { apiKey: new Secret(apiKey) }),
  }));
  return { ...packed, upstreams, adminKey: undefined, secretKey: undefined, storage: undefined };
}

/** The shares of all add up to the whole, and differ by one at most. */
function shareOf(whole: number, number: number, workers: number): number {
  return Math.floor(whole / workers) + (number <= whole % workers ? 1 : 0);
}
