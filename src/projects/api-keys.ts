// API keys: made, listed, revoked, and recognised. A key is shown once, when it is made; what is kept is a
// hash of its secret, which is long enough that a fast hash will do.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError } from "../core/api-error.ts";
import type { Clock } from "../core/clock.ts";
import { randomBase62 } from "../core/ids.ts";
import type { ApiKey, KeyStore } from "../core/key-store.ts";
import { isProjectName } from "../core/project.ts";
import type { Log } from "../observability/log.ts";

const ID_CHARACTERS = 16;
/** 43 of 62 characters: 256 bits. */
const SECRET_CHARACTERS = 43;
/** `sk-offpeak-<id>-<secret>`, so that scanners for leaked secrets can find it. */
const KEY = /^sk-offpeak-([A-Za-z0-9]{16})-([A-Za-z0-9]{43})$/;
const LAST_USE_EVERY_MS = 60_000;
/** Compared with when there is no key of the id, so that it takes as long. */
const NO_HASH = randomBytes(32).toString("hex");

export type Identity =
  | { kind: "project"; projectId: string }
  /** May administer the server, and has no project. */
  | { kind: "admin" };

export interface ApiKeysParts {
  keys: KeyStore;
  clock: Clock;
  log: Log;
  /** The key of the administrator, when there is one. */
  adminKey: string | undefined;
}

export class ApiKeys {
  readonly #parts: ApiKeysParts;
  readonly #adminHash: string | undefined;
  /** Once there was a key there always was one. */
  #isClosed: boolean;

  constructor(parts: ApiKeysParts) {
    this.#parts = parts;
    this.#adminHash = parts.adminKey === undefined ? undefined : hash(parts.adminKey);
    this.#isClosed = parts.adminKey !== undefined;
  }

  /** Makes a key. `key` is the only time at which it can be seen. Throws ApiError for an impossible name. */
  async create(projectId: string): Promise<{ apiKey: ApiKey; key: string }> {
    if (!isProjectName(projectId)) throw badProject(projectId);
    const id = randomBase62(ID_CHARACTERS);
    const secret = randomBase62(SECRET_CHARACTERS);
    const createdAt = this.#parts.clock.now();
    const apiKey = { id: `key_${id}`, projectId, createdAt, lastUsedAt: null, revokedAt: null };
    await this.#parts.keys.insert(apiKey, hash(secret));
    return { apiKey, key: `sk-offpeak-${id}-${secret}` };
  }

  /** Oldest first, revoked ones too. */
  list(): Promise<ApiKey[]> {
    return this.#parts.keys.list();
  }

  /** From now on requests with the key are refused. Throws ApiError 404 when there is none to revoke. */
  async revoke(id: string): Promise<void> {
    if (await this.#parts.keys.revoke(id, this.#parts.clock.now())) return;
    // Whoever gives the key itself must not see it again in a log.
    const shown = id.startsWith("key_") ? `'${id}'` : "given (expected key_…)";
    throw new ApiError(404, `No API key with the id ${shown}, or it is revoked already.`, {
      param: "id",
    });
  }

  /** Whether the server is for everybody who reaches it: while there never was a key of any kind. */
  async isOpen(): Promise<boolean> {
    this.#isClosed ||= await this.#parts.keys.exists();
    return !this.#isClosed;
  }

  /** The same as far as is known, without asking. */
  get wasOpen(): boolean {
    return !this.#isClosed;
  }

  /** Whether there is an administrator. */
  get hasAdmin(): boolean {
    return this.#adminHash !== undefined;
  }

  /**
   * Who sent a request with this key; asked only when the server is not open. Throws ApiError 401.
   * @param key undefined when the request has none
   */
  async identify(key: string | undefined): Promise<Identity> {
    if (key === undefined) throw missingKey();
    if (this.#adminHash !== undefined && isEqual(hash(key), this.#adminHash)) {
      return { kind: "admin" };
    }
    const [, id = "", secret = ""] = KEY.exec(key) ?? [];
    const found = await this.#parts.keys.find(`key_${id}`);
    const matches = isEqual(hash(secret), found?.secretHash ?? NO_HASH);
    if (found === undefined || !matches || found.key.revokedAt !== null) throw incorrectKey(key);
    await this.#noteUse(found.key);
    return { kind: "project", projectId: found.key.projectId };
  }

  async #noteUse({ id, lastUsedAt }: ApiKey): Promise<void> {
    const now = this.#parts.clock.now();
    if (lastUsedAt !== null && now - lastUsedAt < LAST_USE_EVERY_MS) return;
    try {
      await this.#parts.keys.markUsed(id, now);
    } catch (error) {
      // A full disk must not keep anybody from reading.
      this.#parts.log.warn({ err: error, key_id: id }, "could not note the use of an API key");
    }
  }
}

function hash(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** In a time that does not depend on where they differ. */
function isEqual(one: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

export function badProject(name: string): ApiError {
  return new ApiError(
    400,
    `Invalid value: '${name.slice(0, 100).toWellFormed()}'. A project is named with letters, digits and . _ - (at most 64, the first a letter or digit).`,
    { code: "invalid_value", param: "project" },
  );
}

function missingKey(): ApiError {
  return new ApiError(
    401,
    "You didn't provide an API key. You need to provide your API key in an Authorization header using " +
      "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). Whoever runs this server makes keys with " +
      "`offpeak keys create --project NAME`.",
  );
}

function incorrectKey(key: string): ApiError {
  return new ApiError(
    401,
    `Incorrect API key provided: ${masked(key)}. Whoever runs this server lists its keys with \`offpeak keys list\`.`,
    { code: "invalid_api_key" },
  );
}

/** The first and last characters of a key that is long enough to lose them. */
function masked(key: string): string {
  const printable = key.replaceAll(/[^\x21-\x7e]/g, "?");
  return printable.length < 20 ? "***" : `${printable.slice(0, 3)}***${printable.slice(-4)}`;
}
