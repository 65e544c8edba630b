// This node among those that share a Store: it beats so that the others know that it lives, and learns who else
// does. So the nodes divide the limits of upstreams among those that run batches, and take turns where one of
// them needs an upstream to itself. What a node has not beaten for is not trusted, by itself neither.

import {
  type LaneLoad,
  type NodeBeat,
  type NodeRole,
  type NodeStore,
  runsBatches,
} from "../core/node-store.ts";
import type { Signals } from "../core/signals.ts";
import type { Log } from "../observability/log.ts";
import { OutageLog } from "../observability/outage-log.ts";
import { NodeTurn } from "./node-turn.ts";
import type { SharedClock } from "./shared-clock.ts";

export interface MembershipOptions {
  nodes: NodeStore;
  /** As in leases. */
  id: string;
  role: NodeRole;
  /** The name of this machine, for people. */
  host: string;
  secretKeyId: string;
  /** How long others take it for alive after a beat. */
  lifeMs: number;
  signals: Signals;
  /** Kept right by the beats. */
  clock: SharedClock;
  log: Log;
}

const BEAT_EVERY_MS = 2_000;
/** So many beats within a life, at least. */
const BEATS_IN_LIFE = 6;
/** The part of its life within which a node trusts what it last learnt. */
const TRUSTED_PART = 2 / 3;

export class Membership {
  readonly #options: MembershipOptions;
  readonly #outage: OutageLog;
  readonly #turns = new Map<string, NodeTurn>();
  readonly #listeners: (() => void)[] = [];
  readonly #startedAt: number;
  #loads: () => readonly LaneLoad[] = () => [];
  #living: readonly NodeBeat[] = [];
  #trustedUntilMs = Number.NEGATIVE_INFINITY;
  /** The others must have seen that their shares are smaller before this node has its own. */
  #sharesFromMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #beating: Promise<void> | null = null;
  #again = false;
  readonly #beatEveryMs: number;
  #stopped = false;
  #problem: string | null = null;
  #isTelling = false;
  readonly #unsubscribe: () => void;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#outage = new OutageLog(options.log, {
      begins:
        "could not tell the other nodes that this one lives; sending stops when they may take it for dead",
      ends: "the other nodes hear of this one again",
    });
    this.#beatEveryMs = Math.min(BEAT_EVERY_MS, options.lifeMs / BEATS_IN_LIFE);
    this.#startedAt = options.clock.now();
    this.#unsubscribe = options.signals.on("nodes-changed", () => {
      if (!this.#isTelling) void this.#beatSoon();
    });
  }

  get id(): string {
    return this.#options.id;
  }

  /** The nodes that live, by id, this one among them. */
  get living(): readonly NodeBeat[] {
    return this.#living;
  }

  /** Whether what only one node needs to do is this one's to do. Two may think so for a while. */
  get isFirst(): boolean {
    return this.#living[0]?.id === this.#options.id;
  }

  /** Calls `listener` when shares or turns may have changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Whose loads it tells the others. */
  report(loads: () => readonly LaneLoad[]): void {
    this.#loads = loads;
  }

  /** Joins the others. Throws when the Store can't be reached, or when others have another secret key. */
  async start(): Promise<void> {
    const { clock, id, role, log } = this.#options;
    await this.#beat();
    await this.#requireSameKey();
    log.info({ node: id, role, nodes: this.#living.length }, "node joined");
    const isAlone = this.#living.every((node) => node.id === id);
    this.#sharesFromMs = clock.monotonicMs() + (isAlone ? 0 : 2 * this.#beatEveryMs);
    if (!isAlone) this.#tell();
    this.#timer = setInterval(() => void this.#beatSoon(), this.#beatEveryMs);
  }

  async #requireSameKey(): Promise<void> {
    const { secretKeyId, nodes, id } = this.#options;
    const other = this.#living.find((node) => node.secretKeyId !== secretKeyId);
    if (other === undefined) return;
    await nodes.leave(id);
    throw new Error(
      `secret_key is not that of the node ${other.id} on ${other.host}: nodes that share a database need the same one, to ` +
        "read the secrets in it. Give this node the OFFPEAK_SECRET_KEY of the others.",
    );
  }

  /** Why the last beat failed; null when it did not. */
  get problem(): string | null {
    return this.#problem;
  }

  /** False when others may take this node for dead by now. */
  get isTrusted(): boolean {
    return this.#options.clock.monotonicMs() < this.#trustedUntilMs;
  }

  /** This node's part of a limit, a whole number; the parts of all living nodes add up to it. */
  of(limit: number): number {
    if (this.#options.clock.monotonicMs() < this.#sharesFromMs) return 0;
    const sharing = this.#living.filter(({ role }) => runsBatches(role));
    const rank = sharing.findIndex(({ id }) => id === this.#options.id);
    if (rank < 0) return 0;
    return Math.floor(limit / sharing.length) + (rank < limit % sharing.length ? 1 : 0);
  }

  /** This node's part in the turns on an upstream that it sends to. Call it before `start`, once for each. */
  turnOf(upstream: string): NodeTurn {
    return this.#addTurn(upstream, true);
  }

  #addTurn(upstream: string, isUsed: boolean): NodeTurn {
    const turn = new NodeTurn({
      id: this.#options.id,
      isTrusted: () => this.isTrusted,
      onSaid: () => void this.#beatSoon().then(() => this.#tell()),
      isUsed,
    });
    this.#turns.set(upstream, turn);
    return turn;
  }

  /** Has the others beat, and so learn what this node said. */
  #tell(): void {
    this.#isTelling = true;
    this.#options.signals.emit("nodes-changed");
    this.#isTelling = false;
  }

  /** Beats now, or once more after the beat under way. Never rejects. */
  #beatSoon(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#beating) this.#again = true;
    this.#beating ??= this.#beatOn().finally(() => (this.#beating = null));
    return this.#beating;
  }

  async #beatOn(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#beat();
        this.#outage.succeeded();
        this.#problem = null;
        this.#changed();
      } catch (error) {
        this.#outage.failed(error);
        this.#problem = error instanceof Error ? error.message : String(error);
      }
    } while (this.#again && !this.#stopped);
  }

  async #beat(): Promise<void> {
    const { nodes, id, role, host, secretKeyId, lifeMs, clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    const said = (what: "wanted" | "emptyFor") =>
      Object.fromEntries(
        [...this.#turns].flatMap(([upstream, turn]) => {
          const named = turn[what];
          return named === null ? [] : [[upstream, named] as const];
        }),
      );
    const { living, now } = await nodes.beat(
      {
        id,
        role,
        startedAt: this.#startedAt,
        host,
        secretKeyId,
        wantsAlone: said("wanted"),
        emptyFor: said("emptyFor"),
        lanes: this.#loads(),
      },
      lifeMs,
    );
    const behindMs = clock.learn(now, startedMs);
    if (behindMs !== undefined) {
      log.warn(
        { behind_ms: behindMs },
        "this machine's clock is not the database's, which is used",
      );
    }
    this.#living = living;
    this.#trustedUntilMs = startedMs + lifeMs * TRUSTED_PART;
    for (const upstream of living.flatMap(({ wantsAlone }) => Object.keys(wantsAlone))) {
      if (!this.#turns.has(upstream)) this.#addTurn(upstream, false);
    }
    for (const [upstream, turn] of this.#turns) turn.learn(upstream, living);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Leaves: the others have its shares at their next beat. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    if (this.#timer) clearInterval(this.#timer);
    await this.#beating;
    try {
      await this.#options.nodes.leave(this.#options.id);
      this.#tell();
    } catch (error) {
      this.#options.log.warn(
        { err: error },
        "could not leave the other nodes; they find out in time",
      );
    }
  }
}
