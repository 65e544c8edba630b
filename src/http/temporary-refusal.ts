// A refusal that may soon be over: the client is told when to try again.
import { ApiError } from "../core/api-error.ts";

/** SDKs differ in how they treat a longer wait: some give up, some wait less. */
export const LONGEST_RETRY_AFTER_SECONDS = 8;

export class TemporaryRefusal extends ApiError {
  /** At most `LONGEST_RETRY_AFTER_SECONDS`. */
  readonly retryAfterSeconds: number;

  constructor(
    status: number,
    message: string,
    about: { type?: string; code: string; retryAfterSeconds?: number },
  ) {
    super(status, message, about);
    this.retryAfterSeconds = about.retryAfterSeconds ?? LONGEST_RETRY_AFTER_SECONDS;
  }
}
