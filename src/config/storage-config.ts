// Where a server keeps everything: in its data directory, or, shared by several nodes, in a PostgreSQL
// database and an S3 bucket. Both of those or neither.
import { isKey } from "../core/blob-store.ts";
import { ConfigError, refuse } from "./config-error.ts";
import type { Config } from "./config.ts";
import { Secret, readSecret } from "./secret.ts";
import { type SettingSources, flagName, variableName } from "./setting.ts";

/** Where nodes that share their work keep it. */
export interface SharedStorageConfig {
  databaseUrl: Secret;
  bucket: string;
  /** Below which all keys are; empty: the whole bucket is Offpeak's. */
  prefix: string;
}

const DATABASE_URL = ["database_url"];
const BLOB_URL = ["blob_url"];
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX_CHARACTERS = 400;

/** Undefined: the data directory holds all. Throws ConfigError. */
export function readSharedStorage(
  sources: SettingSources,
  { blobUrl }: { blobUrl: string },
): SharedStorageConfig | undefined {
  const databaseUrl = readDatabaseUrl(sources);
  if (databaseUrl === undefined && blobUrl === "") return undefined;
  if (databaseUrl === undefined || blobUrl === "") {
    const [given, missing] = blobUrl === "" ? [DATABASE_URL, BLOB_URL] : [BLOB_URL, DATABASE_URL];
    throw new ConfigError(
      `${given[0]} is set without ${missing[0]}: nodes share a PostgreSQL database and an S3 bucket, so both are ` +
        `needed. Set ${flagName(missing)} (${variableName(missing)}), or leave ${flagName(given)} out to keep ` +
        "everything in the data directory.",
    );
  }
  return { databaseUrl, ...readBlobUrl(blobUrl) };
}

function readDatabaseUrl({ flags, env, yamlPlace, yamlValue }: SettingSources): Secret | undefined {
  const flag = flags[flagName(DATABASE_URL)];
  const variable = env[variableName(DATABASE_URL)];
  const inFile = yamlValue(DATABASE_URL);
  if (flag === undefined && !variable && inFile === undefined) return undefined;
  const place =
    flag !== undefined
      ? flagName(DATABASE_URL)
      : variable
        ? variableName(DATABASE_URL)
        : yamlPlace(DATABASE_URL);
  const given = flag !== undefined ? String(flag) : variable;
  const secret = given ? new Secret(given) : readSecret(place, inFile, env);
  // Not shown, for it may hold a password.
  if (/^postgres(?:ql)?:\/\/.+/.test(secret.reveal()) && URL.canParse(secret.reveal()))
    return secret;
  throw new ConfigError(
    `${place}: expected a URL such as postgres://user:password@host:5432/database. ` +
      "Characters of the password other than letters and digits must be percent-encoded.",
  );
}

function readBlobUrl(url: string): { bucket: string; prefix: string } {
  const [, bucket = "", rest = ""] = /^s3:\/\/([^/]*)\/?(.*?)\/?$/.exec(url) ?? [];
  const isPrefix = rest === "" || (isKey(rest) && rest.length <= PREFIX_CHARACTERS);
  if (BUCKET.test(bucket) && isPrefix) return { bucket, prefix: rest };
  return refuse(
    "blob_url",
    "s3://BUCKET or s3://BUCKET/PREFIX, the prefix of letters, digits and . _ - /",
    // Some write their keys in front of the bucket.
    url.replace(/\/\/.*@/, "//…@"),
    "The server's address is s3_endpoint, and keys come from the AWS variables or profile.",
  );
}

/** What goes together and what doesn't. Throws ConfigError. */
export function checkStorage({ storage, role, workers, secretKey }: Config): void {
  if (storage === undefined) {
    if (role === "all") return;
    throw new ConfigError(
      `role: ${role} needs a database and a bucket that nodes share: set database_url and blob_url. A server with ` +
        "all in its data directory does both itself.",
    );
  }
  if (workers > 0) {
    throw new ConfigError(
      "workers: with database_url, start more nodes instead of workers, each with a data_dir of its own.",
    );
  }
  if (secretKey === undefined) {
    throw new ConfigError(
      "secret_key is not set: nodes that share a database need the same one, to read the secrets in it. Make it once " +
        "with `openssl rand -hex 32`, and give it to all of them as OFFPEAK_SECRET_KEY; where data is moved from a data " +
        "directory, take what its file secret.key holds.",
    );
  }
}
