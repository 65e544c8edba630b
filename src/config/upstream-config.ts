// The upstreams of a configuration: from the file, with all their settings, or from bare URLs.
import { defaultUpstreamEndpoints, isEndpointPath } from "../core/endpoints.ts";
import { type AttachmentForm, attachmentForms } from "../core/upstream.ts";
import { hostAndPort, readBaseUrl } from "./base-url.ts";
import { refuse } from "./config-error.ts";
import { Secret, readSecret } from "./secret.ts";
import { oneOf, wholeNumber } from "./setting.ts";
import { type Mapping, asMapping, refuseUnknownKeys } from "./yaml-file.ts";

export interface UpstreamConfig {
  name: string;
  /** Replicas of one pool, each with its version and without a slash at its end: `http://gpu:8000/v1`. */
  baseUrls: readonly string[];
  apiKey?: Secret;
  /** Left out: whatever the upstream lists. */
  models?: readonly string[];
  endpoints: readonly string[];
  /** How it takes the files that lines refer to. */
  attachments: AttachmentForm;
  /** Most requests in flight at once, per model. */
  concurrency: number;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_CONCURRENCY = 64;
const DEFAULT_ATTACHMENTS: AttachmentForm = "multipart";
const attachmentForm = oneOf(...attachmentForms);
const MAX_ENDPOINTS = 100;
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
      attachments: DEFAULT_ATTACHMENTS,
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
  const known = ["name", "base_url", "api_key", "models", "endpoints", "attachments", "limits"];
  refuseUnknownKeys(place, entry, known);
  const { name, base_url: baseUrl, api_key: apiKey, models, endpoints } = entry;
  const { attachments, limits } = entry;
  if (typeof name !== "string" || !NAME.test(name)) {
    return refuse(`${place}.name`, "a name of letters, digits and . _ : - (at most 100)", name);
  }
  return {
    name,
    baseUrls: readBaseUrls(`${place}.base_url`, baseUrl),
    ...(apiKey === undefined ? {} : { apiKey: readSecret(`${place}.api_key`, apiKey, env) }),
    ...(models === undefined ? {} : { models: readNames(`${place}.models`, "models", models) }),
    endpoints: readEndpoints(`${place}.endpoints`, endpoints),
    attachments: readAttachments(`${place}.attachments`, attachments),
    concurrency: readConcurrency(`${place}.limits`, limits),
  };
}

function readBaseUrls(place: string, value: unknown): string[] {
  if (!Array.isArray(value)) return [readBaseUrl(place, value).href];
  if (value.length === 0) return refuse(place, "at least one URL", value);
  return value.map((item, index) => readBaseUrl(`${place}[${index}]`, item).href);
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
  if (paths.length > MAX_ENDPOINTS) {
    refuse(place, `at most ${MAX_ENDPOINTS} endpoints`, paths.length);
  }
  const unfit = paths.findIndex((path) => !isEndpointPath(path));
  if (unfit >= 0) {
    const expected = "a path such as /v1/rerank, of lower-case letters, digits and _ . -";
    refuse(`${place}[${unfit}]`, expected, paths[unfit]);
  }
  return paths;
}

function readAttachments(place: string, value: unknown): AttachmentForm {
  if (value === undefined) return DEFAULT_ATTACHMENTS;
  return attachmentForm.fromYaml(value) ?? refuse(place, attachmentForm.expected, value);
}

function readConcurrency(place: string, value: unknown): number {
  if (value === undefined) return DEFAULT_CONCURRENCY;
  const limits = asMapping(place, value);
  refuseUnknownKeys(place, limits, ["concurrency"]);
  const given = limits["concurrency"];
  if (given === undefined) return DEFAULT_CONCURRENCY;
  return concurrency.fromYaml(given) ?? refuse(`${place}.concurrency`, concurrency.expected, given);
}
