// The configuration of a server: flags, environment and file, in that order of strength, as one
// typed and frozen value; or one error that says where something is wrong and what belongs there.
import type { Limits } from "../core/limits.ts";
import { ConfigError, refuse } from "./config-error.ts";
import { type ProjectsConfig, readProjects } from "./project-config.ts";
import { Secret, readSecret } from "./secret.ts";
import { type SettingSources, flagName, readSetting, variableName } from "./setting.ts";
import { limitSettings, settings } from "./settings.ts";
import { type SharedStorageConfig, checkStorage, readSharedStorage } from "./storage-config.ts";
import { type UpstreamConfig, upstreamsFromUrls, upstreamsFromYaml } from "./upstream-config.ts";
import { type Mapping, asMapping, parseYaml, refuseUnknownKeys } from "./yaml-file.ts";

type SettingValue<S> = S extends { fallback: infer T } ? T : never;

export type Config = Readonly<{
  [Name in keyof typeof settings]: SettingValue<(typeof settings)[Name]>;
}> &
  Readonly<ProjectsConfig> & {
    readonly limits: Readonly<Limits>;
    /** Undefined: the data directory holds all. */
    readonly storage: Readonly<SharedStorageConfig> | undefined;
    /** Opens the admin routes. Undefined: they are closed. */
    readonly adminKey: Secret | undefined;
    /** Encrypts the secrets in the database. Undefined: a file in the data directory does. */
    readonly secretKey: Secret | undefined;
    readonly upstreams: readonly Readonly<UpstreamConfig>[];
    /** Model as files name it → model as the upstream knows it. */
    readonly modelAliases: Readonly<Record<string, string>>;
  };

export interface ConfigSources extends Pick<SettingSources, "flags" | "env"> {
  /** The text of a file; undefined when there is none. */
  readFile: (path: string) => string | undefined;
  /** True for commands that only need to find the data. */
  upstreamsOptional?: boolean;
}

const DEFAULT_FILE = "offpeak.yaml";
const allSettings = [...Object.values(settings), ...Object.values(limitSettings)];
/** Variables beside those of `allSettings`. */
const otherVariables = [
  "OFFPEAK_CONFIG",
  "OFFPEAK_UPSTREAM",
  "OFFPEAK_UPSTREAM_API_KEY",
  "OFFPEAK_MODEL_ALIAS",
  "OFFPEAK_ADMIN_KEY",
  "OFFPEAK_SECRET_KEY",
  "OFFPEAK_DATABASE_URL",
];
/** Keys of the file beside those of `allSettings`. */
const otherKeys = [
  "limits",
  "upstreams",
  "model_aliases",
  "admin_key",
  "secret_key",
  "database_url",
  "project_limits",
  "projects",
];
/** Long enough not to be guessed, and fit for a header. */
const KEY = /^[\x21-\x7e]{16,}$/;
/** What Kubernetes sets in every container when a service's name begins with "offpeak". */
const KUBERNETES_LINK = /^OFFPEAK_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_|$)/;

/** Reads the configuration. Throws ConfigError. */
export function loadConfig({
  flags,
  env,
  readFile,
  upstreamsOptional = false,
}: ConfigSources): Config {
  refuseUnknownVariables(env);
  const file = readConfigFile(flags["--config"] ?? env["OFFPEAK_CONFIG"], readFile);
  const yamlPlace = (path: readonly string[]) => `${file.name}: ${path.join(".")}`;
  const sources: SettingSources = {
    flags,
    env,
    yamlPlace,
    yamlValue: ([first, second]) =>
      second === undefined ? file.root[first as string] : file.limits[second],
  };
  const plain = readAll(settings, sources);
  const config: Config = {
    ...plain,
    storage: readSharedStorage(sources, plain),
    limits: readAll(limitSettings, sources),
    ...readProjects(yamlPlace, file.root),
    upstreams: readUpstreams(sources, upstreamsOptional),
    modelAliases: readAliases(sources),
    adminKey: readKey("admin_key", sources),
    secretKey: readKey("secret_key", sources),
  };
  checkWorkers(config);
  checkStorage(config);
  return deepFreeze(config);
}

function checkWorkers({ workers, upstreams }: Config): void {
  const small = upstreams.find(({ concurrency }) => concurrency < workers);
  if (small === undefined) return;
  const { name, concurrency } = small;
  throw new ConfigError(
    `workers: ${workers} workers share the requests that each upstream may have in flight, and ` +
      `${JSON.stringify(name)} may have only ${concurrency}. Set --workers (OFFPEAK_WORKERS, workers) to at most ` +
      `${concurrency}, or raise limits.concurrency of ${JSON.stringify(name)}.`,
  );
}

function readAll<Table extends Record<string, (typeof allSettings)[number]>>(
  table: Table,
  sources: SettingSources,
): { [Name in keyof Table]: SettingValue<Table[Name]> } {
  const values = Object.entries(table).map(([name, entry]) => [
    name,
    // The kinds of the table differ, so that only its rows know the type of their value.
    readSetting(entry as Parameters<typeof readSetting<unknown>>[0], sources),
  ]);
  return Object.fromEntries(values) as { [Name in keyof Table]: SettingValue<Table[Name]> };
}

function refuseUnknownVariables(env: ConfigSources["env"]): void {
  const known = [...allSettings.map(({ path }) => variableName(path)), ...otherVariables];
  const unknown = Object.keys(env).find(
    (name) => name.startsWith("OFFPEAK_") && !known.includes(name) && !KUBERNETES_LINK.test(name),
  );
  if (unknown === undefined) return;
  throw new ConfigError(`${unknown}: unknown variable. Known: ${known.toSorted().join(", ")}.`);
}

function readConfigFile(
  named: string | true | string[] | undefined,
  readFile: ConfigSources["readFile"],
): { name: string; root: Mapping; limits: Mapping } {
  const name = named ? String(named) : DEFAULT_FILE;
  const text = readFile(name);
  if (text === undefined && named) {
    throw new ConfigError(`${name}: no such file. Check --config or OFFPEAK_CONFIG.`);
  }
  const root = text === undefined ? {} : parseYaml(name, text);
  const roots = Object.values(settings).map(({ path }) => path[0] as string);
  refuseUnknownKeys(name, root, [...roots, ...otherKeys]);
  const limits = root["limits"] === undefined ? {} : asMapping(`${name}: limits`, root["limits"]);
  const limitNames = Object.values(limitSettings).map(({ path }) => path[1] as string);
  refuseUnknownKeys(`${name}: limits`, limits, limitNames);
  return { name, root, limits };
}

function readUpstreams(
  { flags, env, yamlPlace, yamlValue }: SettingSources,
  optional: boolean,
): UpstreamConfig[] {
  const given = listOf("upstream", flags, env);
  const upstreams = given
    ? upstreamsFromUrls(given.place, given.items, env)
    : upstreamsFromYaml(yamlPlace(["upstreams"]), yamlValue(["upstreams"]) ?? [], env);
  if (upstreams.length === 0 && !optional) {
    throw new ConfigError(
      "No upstream: say where your models run, as --upstream http://localhost:8000/v1, as " +
        "OFFPEAK_UPSTREAM, or under upstreams in offpeak.yaml.",
    );
  }
  const names = upstreams.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) {
    throw new ConfigError(
      `${given?.place ?? yamlPlace(["upstreams"])}: two upstreams are named ${JSON.stringify(twice)}. ` +
        "Give each its own name in offpeak.yaml, or list replicas of one pool under one base_url.",
    );
  }
  return upstreams;
}

function readAliases({ flags, env, yamlPlace, yamlValue }: SettingSources): Record<string, string> {
  const given = listOf("model_alias", flags, env);
  if (given) {
    const pairs = given.items.map((item) => {
      const [, alias, model] = /^([^=]+)=(.+)$/.exec(item) ?? [];
      return alias !== undefined && model !== undefined
        ? [alias, model]
        : refuse(given.place, "ALIAS=MODEL, such as gpt-4o-mini=llama-3.1-8b", item);
    });
    return Object.fromEntries(pairs) as Record<string, string>;
  }
  const place = yamlPlace(["model_aliases"]);
  const mapping = asMapping(place, yamlValue(["model_aliases"]) ?? {});
  for (const [alias, model] of Object.entries(mapping)) {
    if (typeof model !== "string" || model === "") {
      refuse(`${place}.${alias}`, "the name of a model", model);
    }
  }
  return { ...mapping } as Record<string, string>;
}

/** A list from a repeatable flag, or from a variable with commas between the items. */
function listOf(
  name: string,
  flags: SettingSources["flags"],
  env: SettingSources["env"],
): { place: string; items: string[] } | undefined {
  const flag = flags[flagName([name])];
  if (flag !== undefined) return { place: flagName([name]), items: [flag].flat().map(String) };
  const variable = env[variableName([name])];
  if (!variable) return undefined;
  return { place: variableName([name]), items: variable.split(",").map((item) => item.trim()) };
}

/** A key from its variable, or from the file; never from a flag, which every process can see. */
function readKey(name: string, { env, yamlPlace, yamlValue }: SettingSources): Secret | undefined {
  const variable = variableName([name]);
  const inFile = yamlValue([name]);
  const place = env[variable] ? variable : yamlPlace([name]);
  if (!env[variable] && inFile === undefined) return undefined;
  const secret = env[variable] ? new Secret(env[variable]) : readSecret(place, inFile, env);
  const value = secret.reveal();
  if (KEY.test(value)) return secret;
  throw new ConfigError(
    `${place}: expected at least 16 characters without spaces, got ${value.length} characters. ` +
      "Make one with: openssl rand -hex 32",
  );
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) deepFreeze(member as object);
  }
  return Object.freeze(value);
}
