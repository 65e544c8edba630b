// Waits for a condition, by asking again and again, with a deadline that says what was waited for.
import { setTimeout as delay } from "node:timers/promises";

export interface Patience {
  timeoutMs?: number;
  /** Between two looks. */
  pauseMs?: number;
}

/**
 * The first answer of `look` that is neither undefined, null nor false. Throws when there is none in
 * time (a minute), with the last error of `look` as its cause.
 * @param what completes "waited for …"
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  { timeoutMs = 60_000, pauseMs = 10 }: Patience = {},
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + timeoutMs;
  let failure: unknown;
  do {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== null && seen !== false) {
        return seen as Exclude<T, undefined | null | false>;
      }
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    await delay(pauseMs);
  } while (performance.now() < deadline);
  throw new Error(`waited for ${what}, in vain for ${timeoutMs} ms`, { cause: failure });
}
