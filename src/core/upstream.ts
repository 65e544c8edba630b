// An upstream: one inference backend, of one or several replicas, that takes requests and lists
// its models. What happens to a request is a value, never an exception.

export interface UpstreamRequest {
  method: "GET" | "POST";
  /** As clients write it, such as `/v1/embeddings`. */
  path: string;
  /** Of the body. */
  contentType: string;
  /** Empty for a GET. */
  body: Uint8Array;
  /** Base URL of the only replica that may have it, while that is configured; null: any. */
  replica: string | null;
  /** Sent as `x-request-id`, so that the backend's log can be matched. */
  requestId: string;
  /** Asked whenever the request is about to go out, perhaps long after `send`; false: it must not. Left out: it may. */
  mayStart?: () => boolean;
}

export type UpstreamOutcome =
  /** A whole HTTP answer of any status. `replica` is the base URL of the one that gave it. */
  | {
      kind: "answer";
      status: number;
      body: Uint8Array;
      retryAfterMs: number | null;
      replica: string;
    }
  /** The request was not sent: refused, unresolvable, or TLS failed on every replica. */
  | { kind: "unreachable"; detail: string }
  /** The connection ended after the request was sent and before the whole answer was there. */
  | { kind: "cut"; detail: string; upstreamDied: boolean }
  /** No whole answer within the request timeout. */
  | { kind: "timeout"; afterMs: number }
  /** The answer was larger than allowed, and was dropped. */
  | { kind: "oversized"; limitBytes: number }
  /** The request was not sent, because `mayStart` said so. */
  | { kind: "withheld" }
  /** The caller aborted it. */
  | { kind: "aborted" };

export interface UpstreamCall {
  /** Ends the request; its outcome becomes `aborted` unless it has one. */
  abort(): void;
}

/** How an upstream takes files: as parts of a form, or inside JSON. */
export const attachmentForms = ["multipart", "json"] as const;
export type AttachmentForm = (typeof attachmentForms)[number];

export type Discovery = { ok: true; models: string[] } | { ok: false; detail: string };

export interface Upstream {
  readonly name: string;
  /** Endpoints it serves. */
  readonly endpoints: readonly string[];
  readonly attachments: AttachmentForm;
  /** Models by configuration; null when they are to be discovered. */
  readonly configuredModels: readonly string[] | null;
  /** Sends one request. `onOutcome` is called exactly once, never before `send` returns. */
  send(request: UpstreamRequest, onOutcome: (outcome: UpstreamOutcome) => void): UpstreamCall;
  /** Reads no answers until the function that it gives is called: for who can't keep up with storing them. */
  holdAnswers(): () => void;
  /** Asks for the list of models. Never throws. */
  discover(): Promise<Discovery>;
  close(): Promise<void>;
}
