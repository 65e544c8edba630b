// Idempotency-Key, beyond OpenAI's API: a request that creates something may be sent again after its
// answer was lost, and makes nothing twice. Keys are remembered for 24 hours, for each project apart.
import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ApiError } from "../core/api-error.ts";
import type { Clock } from "../core/clock.ts";
import type {
  IdempotencyState,
  IdempotencyStore,
  IdempotentRequest,
} from "../core/idempotency-store.ts";
import { ConflictError, StorageUnavailableError } from "../core/store.ts";
import { TemporaryRefusal } from "./temporary-refusal.ts";

/** How the object of a request comes to be: made now, or found because an earlier request made it. */
export interface Creation<T> {
  /** All that the client asked for: parsed members, and hashes of files. */
  content: object;
  create: (idempotent?: IdempotentRequest) => Promise<T>;
  find: (id: string) => Promise<T>;
}

type Settle = <T>(creation: Creation<T>) => Promise<T>;

const KEY = /^[\x20-\x7e]{1,255}$/;
const RUNNING_RETRY_SECONDS = 1;
const FREE_AGAIN_MS = 2_000;
/** More are not remembered: they are free when an hour is over. */
const MOST_UNFREED = 10_000;

export class IdempotencyKeys {
  readonly #store: IdempotencyStore;
  readonly #clock: Clock;
  readonly #node: string | null;
  /** Under which a request runs here; and those that could not be freed. By project and key. */
  readonly #running = new Set<string>();
  readonly #unfreed = new Map<string, { projectId: string; key: string }>();
  #willFree = false;

  /** @param node this one, where several share the Store */
  constructor(store: IdempotencyStore, clock: Clock, node: string | null = null) {
    this.#store = store;
    this.#clock = clock;
    this.#node = node;
  }

  /**
   * Runs `handle`, which takes the request in and then calls `settle` once. Under a key that made
   * something, `settle` finds that instead, if the content is the same. When `handle` throws before
   * anything is made the key is free again. Throws ApiError 409 for a key whose request still runs, or
   * that was used for something else.
   */
  async guard<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    handle: (settle: Settle) => Promise<T>,
  ): Promise<T> {
    const key = keyOf(request);
    if (key === undefined) return handle(({ create }) => create());
    const { projectId, method, routeOptions } = request;
    const route = `${method} ${routeOptions.url}`;
    const state = await this.#begin(projectId, key, route);
    if (state.kind === "running") throw stillRunning();
    if (state.kind === "done") {
      if (state.route !== route) throw usedBefore(`for ${state.route}`);
      return handle(async ({ content, find }) => {
        if (fingerprintOf(content) !== state.fingerprint) throw usedBefore("with other content");
        const found = await find(state.objectId);
        reply.header("idempotent-replayed", "true");
        return found;
      });
    }
    let isOurs = true;
    const name = nameOf(projectId, key);
    this.#running.add(name);
    try {
      return await handle(({ content, create }) => {
        const idempotent = { projectId, key, fingerprint: fingerprintOf(content) };
        return create(idempotent).catch((error: unknown) => {
          if (!(error instanceof ConflictError)) throw error;
          // It ran so long that the key may have been given to another request.
          isOurs = false;
          throw stillRunning();
        });
      });
    } catch (error) {
      if (isOurs) await this.#free(request, key);
      throw error;
    } finally {
      this.#running.delete(name);
    }
  }

  async #begin(projectId: string, key: string, route: string): Promise<IdempotencyState> {
    const node = this.#node;
    const unfreed = this.#unfreed.get(nameOf(projectId, key));
    if (unfreed) await this.#freeAgain(unfreed);
    try {
      return await this.#store.begin(projectId, key, route, this.#clock.now(), node);
    } catch (error) {
      // It may have begun all the same.
      if (error instanceof StorageUnavailableError) this.#freeLater(projectId, key);
      throw error;
    }
  }

  /** Does not throw: what the client has to hear is why its request failed. */
  async #free({ projectId, log }: FastifyRequest, key: string): Promise<void> {
    try {
      await this.#store.abandon(projectId, key, this.#node);
    } catch (error) {
      log.warn({ err: error }, "an Idempotency-Key could not be freed; will try again");
      this.#freeLater(projectId, key);
    }
  }

  #freeLater(projectId: string, key: string): void {
    if (this.#unfreed.size === MOST_UNFREED) return;
    this.#unfreed.set(nameOf(projectId, key), { projectId, key });
    if (!this.#willFree) this.#freeSoon();
  }

  #freeSoon(): void {
    this.#willFree = true;
    setTimeout(() => void this.#freeAll(), FREE_AGAIN_MS).unref();
  }

  async #freeAll(): Promise<void> {
    try {
      for (const unfreed of this.#unfreed.values()) await this.#freeAgain(unfreed);
    } catch {
      // Still away.
    }
    this.#willFree = false;
    if (this.#unfreed.size > 0) this.#freeSoon();
  }

  async #freeAgain({ projectId, key }: { projectId: string; key: string }): Promise<void> {
    const name = nameOf(projectId, key);
    // Another request has got it by now.
    if (!this.#running.has(name)) await this.#store.abandon(projectId, key, this.#node);
    this.#unfreed.delete(name);
  }
}

function nameOf(projectId: string, key: string): string {
  return `${projectId} ${key}`;
}

/**
 * Undefined without the header. An empty one is refused like any other that is no key: whoever sends it
 * believes to be protected.
 */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers["idempotency-key"];
  if (key === undefined || (typeof key === "string" && KEY.test(key))) return key;
  throw new ApiError(
    400,
    `Invalid 'Idempotency-Key' header: expected 1 to 255 printable ASCII characters, got ${key.length} characters.`,
    { code: "invalid_idempotency_key" },
  );
}

/** Hex SHA-256 of the content, whatever order its members came in. */
function fingerprintOf(content: object): string {
  const canonical = JSON.stringify(content, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash("sha256").update(canonical).digest("hex");
}

function stillRunning(): ApiError {
  return new TemporaryRefusal(
    409,
    "A request with this Idempotency-Key is still running. Try again to get its answer.",
    { code: "idempotency_key_in_use", retryAfterSeconds: RUNNING_RETRY_SECONDS },
  );
}

function usedBefore(how: string): ApiError {
  return new ApiError(
    409,
    `This Idempotency-Key was used before ${how}. Use a new key for each new request.`,
    { code: "idempotency_key_reused" },
  );
}
