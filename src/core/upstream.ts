// An upstream: one inference backend, of one or several replicas, that takes requests and lists
// its models. What happens to a request is a value, never an exception.

export interface UpstreamRequest {
  /** Path as clients write it, such as `/v1/embeddings`. */
  endpoint: string;
  body: Uint8Array;
  /** Sent as `x-request-id`, so that the backend's log can be matched. */
  requestId: string;
}

export type UpstreamOutcome =
  /** A whole HTTP answer of any status. */
  | { kind: "answer"; status: number; body: Uint8Array; retryAfterMs: number | null }
  /** The request was not sent: refused, unresolvable, or TLS failed on every replica. */
  | { kind: "unreachable"; detail: string }
  /** The connection ended after the request was sent and before the whole answer was there. */
  | { kind: "cut"; detail: string; upstreamDied: boolean }
  /** No whole answer within the request timeout. */
  | { kind: "timeout"; afterMs: number }
  /** The answer was larger than allowed, and was dropped. */
  | { kind: "oversized"; limitBytes: number }
  /** The caller aborted it. */
  | { kind: "aborted" };

export interface UpstreamCall {
  /** Ends the request; its outcome becomes `aborted` unless it has one. */
  abort(): void;
}

export type Discovery = { ok: true; models: string[] } | { ok: false; detail: string };

export interface Upstream {
  readonly name: string;
  /** Endpoints it serves. */
  readonly endpoints: readonly string[];
  /** Models by configuration; null when they are to be discovered. */
  readonly configuredModels: readonly string[] | null;
  /** Sends one request. `onOutcome` is called exactly once, never before `send` returns. */
  send(request: UpstreamRequest, onOutcome: (outcome: UpstreamOutcome) => void): UpstreamCall;
  /** Asks for the list of models. Never throws. */
  discover(): Promise<Discovery>;
  close(): Promise<void>;
}
