// Any order of claims, renewals, releases, ends, seals and passing time, on two nodes, against a model
// of what the contract says: who owns which shard, what is sealed, and what the batch shows.

import assert from "node:assert/strict";
import fc from "fast-check";
import { it } from "vitest";
import { ConflictError, LeaseLostError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { LEASE_MS, plannedBatch, progressOf, read, someShards } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

const SHARDS = 4;
const BATCH = "b";

interface ModelShard {
  epoch: number;
  owner: number | null;
  leaseEnd: number;
  done: boolean;
  completed: number;
  seals: Map<number, number | null>;
}

type Step =
  | { kind: "claim"; node: number; limit: number }
  | { kind: "renew"; node: number; completed: number }
  | { kind: "release" | "finish"; node: number; pick: number; completed: number; bytes: number }
  | { kind: "seal"; node: number; pick: number; bytes: number }
  | { kind: "advance"; ms: number }
  | { kind: "void" };

const node = fc.nat({ max: 1 });
const pick = fc.nat({ max: 100 });
const completed = fc.nat({ max: 10 });
const bytes = fc.nat({ max: 3 });
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ kind: fc.constant("claim"), node, limit: fc.nat({ max: SHARDS }) }),
    fc.record({ kind: fc.constant("renew"), node, completed }),
    fc.record({ kind: fc.constantFrom("release", "finish"), node, pick, completed, bytes }),
    fc.record({ kind: fc.constant("seal"), node, pick, bytes }),
    fc.record({ kind: fc.constant("advance"), ms: fc.nat({ max: LEASE_MS }) }),
    fc.record({ kind: fc.constant("void") }),
  ),
  { minLength: 5, maxLength: 40 },
);

/** A claim as its node remembers it, lost or not. */
interface Memory {
  shardId: string;
  epoch: number;
  model: ModelShard;
}

/** The name of the error, or undefined. */
async function errorOf(attempt: Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    return (error as Error).name;
  }
}

class Run {
  readonly #nodes: Store[];
  readonly #clock: FakeClock;
  readonly #shards: ModelShard[];
  readonly #ids = new Map<ModelShard, string>();
  readonly #memories: Memory[][] = [[], []];

  constructor(nodes: Store[], clock: FakeClock) {
    this.#nodes = nodes;
    this.#clock = clock;
    this.#shards = Array.from({ length: SHARDS }, () => ({
      epoch: 0,
      owner: null,
      leaseEnd: 0,
      done: false,
      completed: 0,
      seals: new Map(),
    }));
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case "claim":
        return this.#claim(step.node, step.limit);
      case "renew":
        return this.#renew(step.node, step.completed);
      case "release":
      case "finish":
        return this.#giveBack(step);
      case "seal":
        return this.#seal(step.node, step.pick, step.bytes);
      case "advance":
        this.#clock.pass(step.ms);
        return;
      case "void":
        await this.#nodes[0]!.voidLeases();
        for (const shard of this.#shards) shard.owner = null;
    }
  }

  /** What everybody can see is what the model says. */
  async check(): Promise<void> {
    const batch = await read(this.#nodes[1]!, BATCH);
    const allDone = this.#shards.every((shard) => shard.done);
    assert.equal(batch.status, allDone ? "finalizing" : "in_progress");
    assert.equal(
      batch.counts.completed,
      this.#shards.reduce((sum, shard) => sum + shard.completed, 0),
    );
    const journals = await this.#nodes[0]!.shards.journals(BATCH);
    assert.deepEqual(
      journals,
      this.#shards.flatMap((shard) =>
        [...shard.seals].map(([epoch, acceptedBytes]) => ({
          shardId: this.#ids.get(shard),
          epoch,
          acceptedBytes,
        })),
      ),
    );
  }

  #owns(nodeIndex: number, { model, epoch }: Memory): boolean {
    return model.owner === nodeIndex && model.epoch === epoch;
  }

  async #claim(nodeIndex: number, limit: number): Promise<void> {
    const claims = await this.#nodes[nodeIndex]!.shards.claim(BATCH, {
      models: ["model-a"],
      owner: `node_${nodeIndex}`,
      leaseMs: LEASE_MS,
      limit,
    });
    const now = this.#clock.now();
    const free = this.#shards
      .filter((shard) => !shard.done && (shard.owner === null || shard.leaseEnd <= now))
      .slice(0, limit);
    assert.deepEqual(
      claims.map((claim) => claim.firstEntry / 10),
      free.map((shard) => this.#shards.indexOf(shard)),
    );
    for (const [index, model] of free.entries()) {
      const { shardId, epoch } = claims[index]!;
      assert.equal(epoch, model.epoch + 1);
      Object.assign(model, { epoch, owner: nodeIndex, leaseEnd: now + LEASE_MS });
      model.seals.set(epoch, null);
      this.#ids.set(model, shardId);
      this.#memories[nodeIndex]!.push({ shardId, epoch, model });
    }
  }

  async #renew(nodeIndex: number, completedLines: number): Promise<void> {
    const memories = this.#memories[nodeIndex]!;
    const progress = progressOf(completedLines);
    const { lost } = await this.#nodes[nodeIndex]!.shards.renew(
      `node_${nodeIndex}`,
      LEASE_MS,
      memories.map(({ shardId, epoch }) => ({ shardId, epoch, progress })),
    );
    const kept = memories.filter((memory) => this.#owns(nodeIndex, memory));
    const keptIds = new Set(kept.map((memory) => memory.shardId));
    assert.deepEqual(
      new Set(lost),
      new Set(memories.map((memory) => memory.shardId).filter((id) => !keptIds.has(id))),
    );
    for (const { model } of kept) {
      Object.assign(model, {
        leaseEnd: this.#clock.now() + LEASE_MS,
        completed: completedLines,
      });
    }
  }

  async #giveBack(step: Extract<Step, { kind: "release" | "finish" }>): Promise<void> {
    const memory = this.#pick(step.node, step.pick);
    if (memory === undefined) return;
    const { shardId, epoch, model } = memory;
    const { shards } = this.#nodes[step.node]!;
    const progress = progressOf(step.completed);
    const error = await errorOf(
      step.kind === "release"
        ? shards.release(shardId, epoch, step.bytes, progress)
        : shards.finish(shardId, epoch, step.bytes, progress, 3_000),
    );
    if (!this.#owns(step.node, memory)) {
      assert.equal(error, LeaseLostError.name);
      return;
    }
    assert.equal(error, undefined);
    model.seals.set(epoch, step.bytes);
    Object.assign(model, {
      owner: null,
      completed: step.completed,
      done: step.kind === "finish",
    });
  }

  async #seal(nodeIndex: number, pickIndex: number, acceptedBytes: number): Promise<void> {
    const memory = this.#pick(nodeIndex, pickIndex);
    const older = memory && [...memory.model.seals.keys()].find((epoch) => epoch < memory.epoch);
    if (memory === undefined || older === undefined) return;
    const { shardId, epoch, model } = memory;
    const error = await errorOf(
      this.#nodes[nodeIndex]!.shards.seal(shardId, epoch, older, acceptedBytes),
    );
    const sealed = model.seals.get(older)!;
    if (!this.#owns(nodeIndex, memory)) assert.equal(error, LeaseLostError.name);
    else if (sealed !== null && sealed !== acceptedBytes) assert.equal(error, ConflictError.name);
    else {
      assert.equal(error, undefined);
      model.seals.set(older, acceptedBytes);
    }
  }

  #pick(nodeIndex: number, index: number): Memory | undefined {
    const memories = this.#memories[nodeIndex]!;
    return memories.length === 0 ? undefined : memories[index % memories.length];
  }
}

export function shardModelCases(open: OpenStore): void {
  it("keeps to the contract", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const { store, peer, clock } = await open();
        await plannedBatch(store, BATCH, { shards: someShards(SHARDS) });
        const run = new Run([store, peer], clock);
        for (const step of sequence) {
          await run.take(step);
          await run.check();
        }
      }),
      { numRuns: 40 },
    );
  });
}
