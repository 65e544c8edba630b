// Wake-ups inside one process: they make things prompt, and polling makes them certain. A signal
// that nobody hears is no loss, so it carries nothing but its name.

/**
 * `batch-created`: something to plan. `batch-planned`: shards to claim. `batch-ending`: to stop and assemble.
 * `batch-ended`: webhooks may have to be sent. `bytes-unneeded`: to sweep.
 */
export type SignalName =
  | "batch-created"
  | "batch-planned"
  | "batch-ending"
  | "batch-ended"
  | "bytes-unneeded";

export class Signals {
  readonly #listeners = new Map<SignalName, Set<() => void>>();

  /** Calls `listener` at every later `emit(name)`; returns the function that ends that. */
  on(name: SignalName, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  emit(name: SignalName): void {
    for (const listener of this.#listeners.get(name) ?? []) listener();
  }
}
