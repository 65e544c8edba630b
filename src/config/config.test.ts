import { inspect } from "node:util";
import { expect, test } from "vitest";
import { ConfigError } from "./config-error.ts";
import { type Config, type ConfigSources, loadConfig } from "./config.ts";

const upstream = { "--upstream": ["http://localhost:8000/v1"] };

interface Given {
  flags?: ConfigSources["flags"];
  env?: ConfigSources["env"];
  /** Text of offpeak.yaml. */
  yaml?: string;
}

function load({ flags = {}, env = {}, yaml }: Given): Config {
  return loadConfig({
    flags,
    env,
    readFile: (path) => (path === "offpeak.yaml" ? yaml : undefined),
  });
}

function messageOf(given: Given): string {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("The configuration was accepted.");
}

test("an upstream is all a server needs", () => {
  expect(load({ flags: upstream })).toMatchObject({
    host: "127.0.0.1",
    port: 8024,
    workers: 0,
    dataDir: "./offpeak-data",
    insecureNoAuth: false,
    allowSeveralModels: false,
    requestTimeoutMs: 600_000,
    cancelGraceMs: 5_000,
    maxAttempts: 5,
    leaseMs: 30_000,
    shardLines: 4_000,
    pollMs: 1_000,
    freeSpaceFloorBytes: 256 * 1024 * 1024,
    logLevel: "info",
    limits: { linesPerBatch: 50_000, batchFileSizeBytes: 209_715_200 },
    modelAliases: {},
    upstreams: [
      { name: "localhost:8000", baseUrls: ["http://localhost:8000/v1"], concurrency: 64 },
    ],
  });
});

test("a flag wins over a variable, and a variable over the file", () => {
  const yaml = "port: 1\nshard_lines: 2\nlimits:\n  lines_per_batch: 3\n  validation_errors: 4\n";
  const env = {
    OFFPEAK_PORT: "10",
    OFFPEAK_SHARD_LINES: "20",
    OFFPEAK_LIMITS_LINES_PER_BATCH: "30",
  };
  const config = load({ flags: { ...upstream, "--port": "100" }, env, yaml });
  expect(config.port).toBe(100);
  expect(config.shardLines).toBe(20);
  expect(config.limits.linesPerBatch).toBe(30);
  expect(config.limits.validationErrors).toBe(4);
});

test("a boolean is a bare flag, a word in a variable, or a YAML boolean", () => {
  expect(load({ flags: { ...upstream, "--allow-several-models": true } }).allowSeveralModels).toBe(
    true,
  );
  expect(
    load({ flags: upstream, env: { OFFPEAK_ALLOW_SEVERAL_MODELS: "1" } }).allowSeveralModels,
  ).toBe(true);
  expect(
    load({ flags: upstream, env: { OFFPEAK_ALLOW_SEVERAL_MODELS: "no" } }).allowSeveralModels,
  ).toBe(false);
  expect(load({ flags: upstream, yaml: "allow_several_models: true" }).allowSeveralModels).toBe(
    true,
  );
});

test("the file describes upstreams in full", () => {
  const yaml = `
upstreams:
  - name: llama
    base_url: [http://gpu-1:8000/v1, http://gpu-2:8000]
    api_key: \${LLAMA_KEY}
    models: [meta-llama/Llama-3.1-8B-Instruct]
    endpoints: [/v1/chat/completions, /v1/rerank]
    attachments: json
    limits: { concurrency: 16 }
  - { name: other, base_url: https://models.example/openai/v1/ }
model_aliases: { gpt-4o-mini: meta-llama/Llama-3.1-8B-Instruct }
`;
  const config = load({ yaml, env: { LLAMA_KEY: "sk-secret" } });
  expect(config.upstreams).toMatchObject([
    {
      name: "llama",
      baseUrls: ["http://gpu-1:8000/v1", "http://gpu-2:8000/v1"],
      models: ["meta-llama/Llama-3.1-8B-Instruct"],
      endpoints: ["/v1/chat/completions", "/v1/rerank"],
      attachments: "json",
      concurrency: 16,
    },
    {
      name: "other",
      baseUrls: ["https://models.example/openai/v1"],
      attachments: "multipart",
      concurrency: 64,
    },
  ]);
  expect(config.upstreams[0]?.apiKey?.reveal()).toBe("sk-secret");
  expect(config.upstreams[1]).not.toHaveProperty("apiKey");
  expect(config.modelAliases).toEqual({ "gpt-4o-mini": "meta-llama/Llama-3.1-8B-Instruct" });
});

test("upstreams and aliases by flag or variable replace those of the file", () => {
  const yaml = "upstreams: [{ name: a, base_url: http://a }]\nmodel_aliases: { x: y }";
  const flags = { "--upstream": ["http://b:1", "https://c"], "--model-alias": ["m=n", "o=p=q"] };
  const config = load({ flags, yaml, env: { OFFPEAK_UPSTREAM_API_KEY: "sk-b" } });
  expect(config.upstreams.map(({ name }) => name)).toEqual(["b:1", "c:443"]);
  expect(config.upstreams[0]?.apiKey?.reveal()).toBe("sk-b");
  expect(config.modelAliases).toEqual({ m: "n", o: "p=q" });
  const env = { OFFPEAK_UPSTREAM: "http://d:2, http://e:3", OFFPEAK_MODEL_ALIAS: "r=s" };
  expect(load({ env, yaml }).upstreams.map(({ name }) => name)).toEqual(["d:2", "e:3"]);
  expect(load({ env, yaml }).modelAliases).toEqual({ r: "s" });
});

test("a key is never printed", () => {
  const config = load({ flags: upstream, env: { OFFPEAK_UPSTREAM_API_KEY: "sk-secret" } });
  expect(JSON.stringify(config)).not.toContain("sk-secret");
  expect(inspect(config, { depth: null })).not.toContain("sk-secret");
  expect(String(config.upstreams[0]?.apiKey)).toBe("[redacted]");
});

test("the configuration can't be changed", () => {
  const config = load({ flags: upstream }) as { limits: { linesPerBatch: number } };
  expect(() => (config.limits.linesPerBatch = 1)).toThrow(TypeError);
});

test("a file that is named must be there, the default one need not", () => {
  expect(messageOf({ flags: { "--config": "other.yaml" } })).toBe(
    "other.yaml: no such file. Check --config or OFFPEAK_CONFIG.",
  );
  expect(messageOf({ env: { OFFPEAK_CONFIG: "other.yaml" } })).toContain(
    "other.yaml: no such file",
  );
});

test("variables that Kubernetes adds for services named offpeak are not ours", () => {
  const env = {
    OFFPEAK_SERVICE_HOST: "10.0.0.1",
    OFFPEAK_DB_PORT_5432_TCP_ADDR: "10.0.0.2",
    OFFPEAK_PORT: "",
  };
  expect(load({ flags: upstream, env }).port).toBe(8024);
});

const upstreamYaml = (rest: string) => `upstreams: [{ name: a, base_url: http://a, ${rest} }]`;

test.each<[string, Given, string]>([
  ["no upstream", {}, "No upstream: say where your models run, as --upstream"],
  [
    "flag out of range",
    { flags: { "--port": "70000" } },
    '--port: expected a whole number from 0 to 65535, got "70000".',
  ],
  [
    "flag of wrong type",
    { flags: { "--lease-ms": "1.5" } },
    '--lease-ms: expected a whole number from 1000 to 86400000, got "1.5".',
  ],
  [
    "variable of wrong type",
    { env: { OFFPEAK_PORT: "tcp://10.0.0.1:8024" } },
    "OFFPEAK_PORT: expected a whole number",
  ],
  [
    "variable of wrong word",
    { env: { OFFPEAK_LOG_LEVEL: "loud" } },
    'OFFPEAK_LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent, got "loud".',
  ],
  [
    "variable no boolean",
    { env: { OFFPEAK_INSECURE_NO_AUTH: "maybe" } },
    "OFFPEAK_INSECURE_NO_AUTH: expected true or false",
  ],
  [
    "unknown variable",
    { env: { OFFPEAK_PROT: "1" } },
    "OFFPEAK_PROT: unknown variable. Known: OFFPEAK_ADMIN_KEY, ",
  ],
  [
    "file of wrong type",
    { yaml: "port: '1'" },
    'offpeak.yaml: port: expected a whole number from 0 to 65535, got "1".',
  ],
  [
    "nested value of wrong type",
    { yaml: "limits: { lines_per_batch: 0 }" },
    "offpeak.yaml: limits.lines_per_batch: expected a whole number from 1 to 10000000, got 0.",
  ],
  [
    "unknown key",
    { yaml: "prot: 1" },
    'offpeak.yaml: unknown key "prot". Known here: host, port, ',
  ],
  [
    "unknown nested key",
    { yaml: "limits: { lines: 1 }" },
    'offpeak.yaml: limits: unknown key "lines". Known here: lines_per_batch, ',
  ],
  ["not YAML", { yaml: "port: [" }, "offpeak.yaml: not valid YAML:"],
  [
    "repeated key",
    { yaml: "port: 1\nport: 2" },
    "offpeak.yaml: not valid YAML: Map keys must be unique",
  ],
  ["no mapping", { yaml: "- 1" }, "offpeak.yaml: expected a mapping of keys to values, got [1]."],
  [
    "upstreams no list",
    { yaml: "upstreams: { a: b }" },
    'offpeak.yaml: upstreams: expected a list of upstreams, got {"a":"b"}.',
  ],
  [
    "upstream no mapping",
    { yaml: "upstreams: [http://a]" },
    'offpeak.yaml: upstreams[0]: expected a mapping of keys to values, got "http://a".',
  ],
  [
    "upstream unnamed",
    { yaml: "upstreams: [{ base_url: http://a }]" },
    "offpeak.yaml: upstreams[0].name: expected a name of letters, digits and . _ : - (at most 100), got nothing.",
  ],
  [
    "upstream without URL",
    { yaml: "upstreams: [{ name: a }]" },
    "offpeak.yaml: upstreams[0].base_url: expected a URL such as http://localhost:8000/v1, got nothing.",
  ],
  [
    "empty list of replicas",
    { yaml: "upstreams: [{ name: a, base_url: [] }]" },
    "offpeak.yaml: upstreams[0].base_url: expected at least one URL, got [].",
  ],
  [
    "bad replica",
    { yaml: "upstreams: [{ name: a, base_url: [http://a, b] }]" },
    'offpeak.yaml: upstreams[0].base_url[1]: expected a URL such as http://localhost:8000/v1, got "b".',
  ],
  [
    "unknown key of an upstream",
    { yaml: upstreamYaml("prices: 1") },
    'offpeak.yaml: upstreams[0]: unknown key "prices". Known here: name, base_url, api_key, models, endpoints, attachments, limits.',
  ],
  [
    "models no list",
    { yaml: upstreamYaml("models: x") },
    'offpeak.yaml: upstreams[0].models: expected a list of models, got "x". Leave it out for the default.',
  ],
  [
    "model no text",
    { yaml: upstreamYaml("models: [1]") },
    "offpeak.yaml: upstreams[0].models[0]: expected text, got 1.",
  ],
  [
    "no path of an endpoint",
    { yaml: upstreamYaml("endpoints: [/v1/rerank, /v1/../admin]") },
    'offpeak.yaml: upstreams[0].endpoints[1]: expected a path such as /v1/rerank, of lower-case letters, digits and _ . -, got "/v1/../admin".',
  ],
  [
    "too many endpoints",
    {
      yaml: upstreamYaml(
        `endpoints: [${Array.from({ length: 101 }, (_, n) => `/v1/e${n}`).join(", ")}]`,
      ),
    },
    "offpeak.yaml: upstreams[0].endpoints: expected at most 100 endpoints, got 101.",
  ],
  [
    "unknown form of attachments",
    { yaml: upstreamYaml("attachments: xml") },
    'offpeak.yaml: upstreams[0].attachments: expected one of multipart, json, got "xml".',
  ],
  [
    "concurrency out of range",
    { yaml: upstreamYaml("limits: { concurrency: 10001 }") },
    "offpeak.yaml: upstreams[0].limits.concurrency: expected a whole number from 1 to 10000, got 10001.",
  ],
  [
    "unknown limit of an upstream",
    { yaml: upstreamYaml("limits: { requests: 1 }") },
    'offpeak.yaml: upstreams[0].limits: unknown key "requests". Known here: concurrency.',
  ],
  [
    "key from a missing variable",
    { yaml: upstreamYaml('api_key: "${NO_KEY}"') },
    "offpeak.yaml: upstreams[0].api_key: the environment variable NO_KEY that it names is not set. Set it, or leave api_key out",
  ],
  [
    "key no text",
    { yaml: upstreamYaml("api_key: 42") },
    "offpeak.yaml: upstreams[0].api_key: expected text such as ${MY_KEY}, got something else.",
  ],
  [
    "two upstreams of one name",
    { yaml: "upstreams: [{ name: a, base_url: http://a }, { name: a, base_url: http://b }]" },
    'offpeak.yaml: upstreams: two upstreams are named "a".',
  ],
  [
    "one upstream twice",
    { flags: { "--upstream": ["http://a:1", "http://a:1/v1"] } },
    '--upstream: two upstreams are named "a:1".',
  ],
  [
    "URL no URL",
    { flags: { "--upstream": ["localhost"] } },
    '--upstream: expected a URL such as http://localhost:8000/v1, got "localhost".',
  ],
  [
    "URL of another scheme",
    { env: { OFFPEAK_UPSTREAM: "ftp://a" } },
    'OFFPEAK_UPSTREAM: expected a URL such as http://localhost:8000/v1, got "ftp://a". Only http and https are supported.',
  ],
  [
    "URL with a query",
    { flags: { "--upstream": ["http://a/?x=1"] } },
    "Leave out what begins with ? or #.",
  ],
  [
    "alias of wrong form",
    { flags: { ...upstream, "--model-alias": ["gpt"] } },
    '--model-alias: expected ALIAS=MODEL, such as gpt-4o-mini=llama-3.1-8b, got "gpt".',
  ],
  [
    "alias of no text",
    { flags: upstream, yaml: "model_aliases: { gpt: 4 }" },
    "offpeak.yaml: model_aliases.gpt: expected the name of a model, got 4.",
  ],
])("%s is refused with its place", (_name, given, message) => {
  expect(messageOf(given)).toContain(message);
});

test("credentials in a URL are refused and not repeated", () => {
  const message = messageOf({ flags: { "--upstream": ["http://me:sk-secret@a/v1"] } });
  expect(message).toContain("--upstream: the URL holds credentials. Take them out");
  expect(message).not.toContain("sk-secret");
});

test.each([
  ["http://h:8000", "http://h:8000/v1"],
  ["http://h:8000/", "http://h:8000/v1"],
  ["http://h:8000/v1", "http://h:8000/v1"],
  ["http://h:8000/v1/", "http://h:8000/v1"],
  ["https://h/openai/v1", "https://h/openai/v1"],
  ["https://h/v1beta/openai/", "https://h/v1beta/openai"],
  ["http://[::1]:8000/v1", "http://[::1]:8000/v1"],
])("%s is the base URL %s", (given, baseUrl) => {
  expect(load({ flags: { "--upstream": [given] } }).upstreams[0]?.baseUrls).toEqual([baseUrl]);
});
