// Which models want another shard: counted once for each round of claims, so that a round costs the
// same however many batches wait.

import type { ShardClaim } from "../core/shard-store.ts";
import type { Demand, RunnableBatch } from "../core/store.ts";
import type { Lane } from "../lanes/lane.ts";
import type { Lanes } from "../lanes/lanes.ts";

/** Shards that are run at the same time for one model, so that small batches are not stuck behind large ones. */
const MAX_RUNS_PER_MODEL = 16;
/** The same while those at hand don't keep the lanes full, because batches are tiny. */
const MAX_SMALL_RUNS_PER_MODEL = 512;
/** The next shard is claimed while there are still so many rounds of requests in those at hand. */
const ROUNDS_AHEAD = 4;

/** Unsent lines below which the next shard is wanted. */
export function lowWater(lanes: readonly Lane[]): number {
  return ROUNDS_AHEAD * lanes.reduce((sum, lane) => sum + lane.concurrency, 0);
}

interface Run {
  endpoint: string;
  claim: ShardClaim;
  unsent: number;
}

/** What is at hand of one model at one endpoint. */
interface Stock {
  /** 0: this node has no share of the limits, and sends nothing. */
  lowWater: number;
  isServed: boolean;
  isPaused: boolean;
  runs: number;
  lines: number;
  unsent: number;
}

export class ShardsAtHand {
  readonly #lanes: Lanes;
  readonly #stocks = new Map<string, Stock>();

  constructor(lanes: Lanes, runs: Iterable<Run>) {
    this.#lanes = lanes;
    for (const { endpoint, claim, unsent } of runs) {
      const stock = this.#stock(endpoint, claim.model);
      stock.runs++;
      stock.lines += claim.entryCount;
      stock.unsent += unsent;
    }
  }

  /** The models of the batch of which another shard is wanted. @param isActive one of the batch runs here */
  wanted(
    { endpoint, models }: Pick<RunnableBatch, "endpoint" | "models">,
    isActive: boolean,
  ): string[] {
    return models.filter((model) => {
      const { isPaused, isServed, runs, unsent, ...stock } = this.#stock(endpoint, model);
      if (isServed && stock.lowWater === 0) return false;
      // A paused lane needs one shard, whose lines find out when it can go on.
      if (isPaused) return isServed && runs === 0;
      if (unsent < stock.lowWater) return runs < MAX_SMALL_RUNS_PER_MODEL;
      return !isActive && runs < MAX_RUNS_PER_MODEL;
    });
  }

  /** Whether a shard of a batch of which nothing runs yet is wanted. */
  wantsMore({ endpoint, model }: Demand): boolean {
    return this.wanted({ endpoint, models: [model] }, false).length > 0;
  }

  /** Counts a shard that is about to be claimed, of one of the models. */
  expect({ endpoint }: RunnableBatch, models: readonly string[]): void {
    for (const model of models) {
      const stock = this.#stock(endpoint, model);
      // It is taken to be like the others; as long as there is none it may be as large as it likes.
      const lines = stock.runs === 0 ? Number.POSITIVE_INFINITY : stock.lines / stock.runs;
      stock.runs++;
      stock.lines += lines;
      stock.unsent += lines;
    }
  }

  #stock(endpoint: string, model: string): Stock {
    const key = `${endpoint} ${model}`;
    let stock = this.#stocks.get(key);
    if (!stock) {
      const lanes = this.#lanes.lanesFor(endpoint, model);
      stock = {
        lowWater: lowWater(lanes),
        isServed: lanes.length > 0,
        isPaused: lanes.every((lane) => lane.pausedBecause(endpoint) !== null),
        runs: 0,
        lines: 0,
        unsent: 0,
      };
      this.#stocks.set(key, stock);
    }
    return stock;
  }
}
