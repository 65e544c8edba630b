// What a node says of itself, for tests that change the part they are about.
import type { NodeBeat } from "../../src/core/node-store.ts";

export function aBeat(id: string, change: Partial<NodeBeat> = {}): NodeBeat {
  return {
    id,
    role: "all",
    startedAt: 1_000,
    host: "machine",
    secretKeyId: "a key",
    wantsAlone: {},
    emptyFor: {},
    lanes: [],
    ...change,
  };
}
