// The upstreams of a configuration: from the file, with all their settings, or from bare URLs.
import { defaultUpstreamEndpoints, endpointPaths } from "../core/endpoints.ts";
import { hostAndPort, readBaseUrl } from "./base-url.ts";
import { ConfigError, refuse } from "./config-error.ts";
import { Secret } from "./secret.ts";
import { wholeNumber } from "./setting.ts";
import { type Mapping, asMapping, refuseUnknownKeys } from "./yaml-file.ts";

export interface UpstreamConfig {
  name: string;
  /** Replicas of one pool, each with its version and without a slash at its end: `http://gpu:8000/v1`. */
  baseUrls: readonly string[];
  apiKey?: Secret;
  /** Left out: whatever the upstream lists. */
  models?: readonly string[];
  endpoints: readonly string[];
  /** Most requests in flight at once, per model. */
  concurrency: number;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_CONCURRENCY = 64;
const concurrency = wholeNumber(1, 10_000);
const NAME = /^[A-Za-z0-9._:-]{1,100}$/;

/** Upstreams of one replica each, named after host and port. */
export function upstreamsFromUrls(
  place: string,
  urls: readonly string[],
  env: Env,
): UpstreamConfig[] {
  const key = env["OFFPEAK_UPSTREAM_API_KEY"];
  return urls.map((text) => {
    const url = readBaseUrl(place, text);
    return {
      name: hostAndPort(url),
      baseUrls: [url.href],
      ...(key ? { apiKey: new Secret(key) } : {}),
      endpoints: defaultUpstreamEndpoints,
      concurrency: DEFAULT_CONCURRENCY,
    };
  });
}

/** Upstreams as the file describes them. */
export function upstreamsFromYaml(place: string, value: unknown, env: Env): UpstreamConfig[] {
  if (!Array.isArray(value)) return refuse(place, "a list of upstreams", value);
  return value.map((entry: unknown, index) => {
    const here = `${place}[${index}]`;
    return upstreamFromYaml(here, asMapping(here, entry), env);
  });
}

function upstreamFromYaml(place: string, entry: Mapping, env: Env): UpstreamConfig {
  const known = ["name", "base_url", "api_key", "models", "endpoints", "limits"];
  refuseUnknownKeys(place, entry, known);
  const { name, base_url: baseUrl, api_key: apiKey, models, endpoints, limits } = entry;
  if (typeof name !== "string" || !NAME.test(name)) {
    return refuse(`${place}.name`, "a name of letters, digits and . _ : - (at most 100)", name);
  }
  return {
    name,
    baseUrls: readBaseUrls(`${place}.base_url`, baseUrl),
    ...(apiKey === undefined ? {} : { apiKey: readKey(`${place}.api_key`, apiKey, env) }),
    ...(models === undefined ? {} : { models: readNames(`${place}.models`, "models", models) }),
    endpoints: readEndpoints(`${place}.endpoints`, endpoints),
    concurrency: readConcurrency(`${place}.limits`, limits),
  };
}

function readBaseUrls(place: string, value: unknown): string[] {
  if (!Array.isArray(value)) return [readBaseUrl(place, value).href];
  if (value.length === 0) return refuse(place, "at least one URL", value);
  return value.map((item, index) => readBaseUrl(`${place}[${index}]`, item).href);
}

function readKey(place: string, value: unknown, env: Env): Secret {
  if (typeof value !== "string" || value === "") {
    throw new ConfigError(`${place}: expected text such as \${MY_KEY}, got something else.`);
  }
  const key = value.replaceAll(/\$\{([^}]*)\}/g, (_, variable: string) => {
    return env[variable] || missingKey(place, variable);
  });
  return new Secret(key);
}

function missingKey(place: string, variable: string): never {
  throw new ConfigError(
    `${place}: the environment variable ${variable} that it names is not set. ` +
      "Set it, or leave api_key out if the upstream needs no key.",
  );
}

function readNames(place: string, what: string, value: unknown): string[] {
  const isList = Array.isArray(value) && value.length > 0;
  if (!isList) return refuse(place, `a list of ${what}`, value, "Leave it out for the default.");
  return value.map((item: unknown, index) =>
    typeof item === "string" && item !== "" ? item : refuse(`${place}[${index}]`, "text", item),
  );
}

function readEndpoints(place: string, value: unknown): readonly string[] {
  if (value === undefined) return defaultUpstreamEndpoints;
  const paths = readNames(place, "endpoints", value);
  const unknown = paths.find((path) => !endpointPaths.includes(path));
  if (unknown !== undefined) refuse(place, `some of ${endpointPaths.join(", ")}`, unknown);
  return paths;
}

function readConcurrency(place: string, value: unknown): number {
  if (value === undefined) return DEFAULT_CONCURRENCY;
  const limits = asMapping(place, value);
  refuseUnknownKeys(place, limits, ["concurrency"]);
  const given = limits["concurrency"];
  if (given === undefined) return DEFAULT_CONCURRENCY;
  return concurrency.fromYaml(given) ?? refuse(`${place}.concurrency`, concurrency.expected, given);
}
