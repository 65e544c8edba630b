// The part of the Store that remembers requests made with an Idempotency-Key, so that a repeated one
// gives the object the first one made. Promises as in store.ts.

/** A request that creates something, to be noted in the same step in which the thing is created. */
export interface IdempotentRequest {
  projectId: string;
  /** As the client sent it. */
  key: string;
  /** Hash of everything the client asked for: parsed fields and the hashes of files, never raw bytes. */
  fingerprint: string;
}

/** What is known of a key when a request with it arrives. */
export type IdempotencyState =
  /** Nothing: from now on the caller's request runs under it. */
  | { kind: "begun" }
  /** Another request runs under it. */
  | { kind: "running" }
  /** An earlier request made this object. */
  | { kind: "done"; route: string; fingerprint: string; objectId: string };

export interface IdempotencyStore {
  /**
   * Takes the key for one request, or says who has it. A key is forgotten `IDEMPOTENCY_KEY_MS` after
   * it was begun, and one whose request neither finished nor ended after `IDEMPOTENCY_RUN_MS`, or at once when the
   * node that runs it does not live any more.
   * @param route such as "POST /v1/batches"; a key of another route is an error of the client
   * @param node that runs the request, where several share the Store
   */
  begin(
    projectId: string,
    key: string,
    route: string,
    now: number,
    node?: string | null,
  ): Promise<IdempotencyState>;
  /** The request of this node made nothing: the key is free again. Harmless when it is done, not there, or another node's. */
  abandon(projectId: string, key: string, node?: string | null): Promise<void>;
  /** Forgets keys that are over at `now`. */
  sweep(now: number): Promise<void>;
}

/** How long a key is remembered. */
export const IDEMPOTENCY_KEY_MS = 24 * 3_600_000;
/** Longest time a request may run under a key; then it counts as crashed. */
export const IDEMPOTENCY_RUN_MS = 3_600_000;
