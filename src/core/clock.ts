// Time as a parameter, so that tests can move it.

export interface Clock {
  /** Wall clock, epoch milliseconds. May jump. For timestamps that people and clients see. */
  now(): number;
  /** Milliseconds since an arbitrary start; never goes back. For durations and trust windows. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
};
