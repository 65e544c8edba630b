// Wake-ups: they make things prompt, and polling makes them certain. A signal that nobody hears is no
// loss, so it carries nothing but its name. Relays take them to other processes.

/**
 * `batch-created`: something to plan. `batch-planned`: shards to claim. `batch-ending`: to stop and assemble.
 * `batch-ended`: webhooks may have to be sent. `bytes-unneeded`: to sweep. `nodes-changed`: to look who else lives.
 */
export type SignalName =
  | "batch-created"
  | "batch-planned"
  | "batch-ending"
  | "batch-ended"
  | "bytes-unneeded"
  | "nodes-changed";

/** All that has the engine look for work. */
export const workSignals = ["batch-created", "batch-planned", "batch-ending"] as const;

/** Takes a signal elsewhere. What it brings from there it emits as its own `source`. */
export type Relay = (name: SignalName) => void;

export class Signals {
  readonly #listeners = new Map<SignalName, Set<() => void>>();
  readonly #relays = new Set<Relay>();

  /** Calls `listener` at every later `emit(name)`; returns the function that ends that. */
  on(name: SignalName, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Calls `relay` at every later `emit` of which it is not the source; returns the function that ends that. */
  connect(relay: Relay): () => void {
    this.#relays.add(relay);
    return () => this.#relays.delete(relay);
  }

  emit(name: SignalName, source?: Relay): void {
    for (const listener of this.#listeners.get(name) ?? []) listener();
    for (const relay of this.#relays) if (relay !== source) relay(name);
  }
}
