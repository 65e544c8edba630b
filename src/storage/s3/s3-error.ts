// What S3 and the network say when something fails, told apart, and as callers of the BlobStore know it. No
// message here has a key or a signature in it.

import { NotFoundError, StorageFullError, StorageUnavailableError } from "../../core/store.ts";

/** Said by those who ran out of room; S3 itself never does. */
const FULL = new Set([
  "InsufficientStorage",
  "QuotaExceeded",
  "XMinioStorageFull",
  "EntityTooLargeForQuota",
]);
const MISSING = new Set(["NoSuchKey", "NotFound"]);
const WRONG_KEYS = new Set([
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "InvalidToken",
  "TokenRefreshRequired",
  "CredentialsProviderError",
  "Unauthorized",
]);
const WRONG_REGION = new Set([
  "PermanentRedirect",
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "BadRequest",
  "301",
]);

interface Described {
  name?: unknown;
  code?: unknown;
  message?: unknown;
  $metadata?: { httpStatusCode?: number };
  $response?: { headers?: Record<string, string> };
}

/** The code of S3's answer, such as "NoSuchKey", or of the network's error, such as "ECONNREFUSED". */
export function codeOf(error: unknown): string {
  const { name, code } = (error ?? {}) as Described;
  if (typeof code === "string" && code !== "") return code;
  return typeof name === "string" ? name : "unknown";
}

/** The status of S3's answer; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  return ((error ?? {}) as Described).$metadata?.httpStatusCode;
}

/** There is no such object. That there is no such bucket looks the same to HEAD only. */
export function isMissing(error: unknown): boolean {
  return MISSING.has(codeOf(error)) || (statusOf(error) === 404 && codeOf(error) === "404");
}

/** The server does not know this kind of request. */
export function isNotImplemented(error: unknown): boolean {
  const status = statusOf(error);
  return status === 501 || status === 405 || codeOf(error) === "NotImplemented";
}

/** The error as callers know it: `what` completes "S3 could not …". */
export function toStoreError(error: unknown, what: string): unknown {
  const isTold = error instanceof NotFoundError || error instanceof StorageUnavailableError;
  if (isTold || error instanceof TypeError || error instanceof RangeError) return error;
  const status = statusOf(error);
  const message = `S3 could not ${what}: ${described(error)}.`;
  if (status === 507 || FULL.has(codeOf(error))) {
    return new StorageFullError(message, { cause: error });
  }
  const isUnavailable = status === undefined || status >= 500 || status === 429 || status === 408;
  if (isUnavailable) return new StorageUnavailableError(message, { cause: error });
  return new Error(message, { cause: error });
}

/** An answer with a status of success that S3 would not give: of a proxy, or of another server. */
export function strangeAnswer(what: string): StorageUnavailableError {
  return new StorageUnavailableError(
    `S3 could not ${what}: its answer lacks what S3 says. See what stands between this machine and the endpoint.`,
  );
}

function described(error: unknown): string {
  const { message } = (error ?? {}) as Described;
  const status = statusOf(error);
  const code = codeOf(error);
  const answer = status === undefined ? code : `${code} (status ${status})`;
  // The SDK adds lines for its developers, and calls an error without words so.
  const [line = ""] = typeof message === "string" ? message.trim().split("\n") : [];
  const text = line.replace(/\.$/, "");
  return text === "" || text === code || text === "UnknownError" ? answer : `${answer}, ${text}`;
}

/** Why a bucket can't be used, and what to do about it. Without a cause: S3's own error repeats a part of what was signed. */
export function openingError(
  error: unknown,
  { bucket, endpoint, region }: { bucket: string; endpoint: string | undefined; region: string },
): Error {
  const where = endpoint ?? `AWS in ${region === "" ? "no region" : region}`;
  const told = `Cannot use the S3 bucket ${bucket} at ${where}: ${described(error)}.`;
  return new Error(`${told} ${advice(error)}`);
}

function advice(error: unknown): string {
  const code = codeOf(error);
  const status = statusOf(error);
  if (code === "NoSuchBucket") {
    return "Create the bucket, or correct its name.";
  }
  if (WRONG_KEYS.has(code) || status === 401) {
    return "Give valid credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine.";
  }
  if (WRONG_REGION.has(code) || status === 301) {
    const expected = ((error ?? {}) as Described).$response?.headers?.["x-amz-bucket-region"];
    return `Set the bucket's region${expected === undefined ? "" : `, which is ${expected}`}.`;
  }
  if (status === 403) {
    return "Allow these credentials to list, read, write and delete in the bucket.";
  }
  if (code === "Error" && /region is missing/i.test(String((error as Described).message))) {
    return "Set the region, or the endpoint of a server that is not AWS.";
  }
  if (status === undefined || status >= 500) {
    return "See that the endpoint is right and that this machine reaches it.";
  }
  return "See that the endpoint is that of an S3 server, and that path-style addressing is set as it needs it.";
}
