// The part of the Store that knows which nodes live, where several share one Store: how they divide the
// limits of upstreams, and keep out of each other's way. Promises as in store.ts; its clock judges who lives.

/** `api` serves clients, `engine` runs batches, `all` does both. */
export const nodeRoles = ["all", "api", "engine"] as const;
export type NodeRole = (typeof nodeRoles)[number];

export function runsBatches(role: NodeRole): boolean {
  return role !== "api";
}

export function servesClients(role: NodeRole): boolean {
  return role !== "engine";
}

/** What a node has on one lane, for people. */
export interface LaneLoad {
  upstream: string;
  model: string;
  inFlight: number;
  /** This node's share of the lane's limit. */
  limit: number;
}

/** What a node says of itself with every beat. */
export interface NodeBeat {
  /** As in leases. */
  id: string;
  role: NodeRole;
  /** Epoch ms. */
  startedAt: number;
  /** The name of its machine, for people. */
  host: string;
  /** Tells secret keys apart, and says nothing else of them. */
  secretKeyId: string;
  /** By name of an upstream that it wants, or has, to itself: the turn that it asks for, unlike any other. */
  wantsAlone: Readonly<Record<string, string>>;
  /** By name of an upstream: the turn of another node for which this one keeps it empty. */
  emptyFor: Readonly<Record<string, string>>;
  lanes: readonly LaneLoad[];
}

export interface NodeStore {
  /**
   * Notes that the node lives, from now on for `lifeMs`; answers what all living nodes last said, this one
   * among them, by id, and the time of the Store's clock.
   */
  beat(node: NodeBeat, lifeMs: number): Promise<{ living: NodeBeat[]; now: number }>;
  /** The node is gone at once. Harmless when it is. */
  leave(id: string): Promise<void>;
  /** What all living nodes last said, by id. */
  living(): Promise<NodeBeat[]>;
}
