// What tests of running shards start from: a stage of their own for each, a simulated upstream, and an engine whose
// time passes only while a test waits.
import { afterEach, beforeEach, vi } from "vitest";
import { type Batch, terminalStatuses } from "../../src/core/batch.ts";
import type { SimulatorOptions } from "../../src/simulator/options.ts";
import { Simulator } from "../../src/simulator/simulator.ts";
import { embeddingLine, type EngineStage, openEngineStage } from "./engine-stage.ts";
import { type ResultLine, resultLines } from "./result-lines.ts";
import {
  fakeTimers,
  type RunningEngine,
  type RunningEngineOptions,
  startEngine,
} from "./running-engine.ts";

export const numbered = (count: number) => Array.from({ length: count }, (_, n) => `text ${n}`);
export const idsOf = (lines: readonly ResultLine[]) => lines.map(({ custom_id: id }) => id);

export class RunnerStage {
  stage!: EngineStage;
  simulator!: Simulator;
  cleanup!: AsyncDisposableStack;

  /** To be called at the top of a file: each of its tests has a stage of its own. */
  static forEachTest(): RunnerStage {
    const runner = new RunnerStage();
    beforeEach(async () => {
      fakeTimers();
      runner.stage = await openEngineStage();
      runner.cleanup = new AsyncDisposableStack();
      runner.cleanup.use(runner.stage);
    });
    afterEach(async () => {
      await runner.cleanup.disposeAsync();
      vi.useRealTimers();
    });
    return runner;
  }

  async simulate(options: SimulatorOptions = {}): Promise<void> {
    this.simulator = new Simulator(options);
    this.cleanup.use(this.simulator);
    await this.simulator.start();
  }

  async startedEngine(options: Partial<RunningEngineOptions> = {}): Promise<RunningEngine> {
    const { baseUrl } = this.simulator;
    const engine = await startEngine(this.stage, { baseUrl, ...options });
    this.cleanup.use(engine);
    return engine;
  }

  planned(texts: readonly string[], shardLines = 1_000): Promise<string> {
    return this.stage.planBatch(
      texts.map((text) => embeddingLine(text)),
      { shardLines },
    );
  }

  async batchOf(id: string): Promise<Batch> {
    return (await this.stage.store.batches.get("default", id))!;
  }

  /** How often each text was sent. */
  sent(): Map<string, number> {
    return new Map([...this.simulator.prompts()].map(({ prompt, times }) => [prompt, times]));
  }

  isLogged(message: string): boolean {
    return this.stage.logged().some(({ msg }) => msg === message);
  }

  /** Works until the batch has ended; answers it and what its files say. */
  async finished(engine: RunningEngine, id: string, stepMs?: number) {
    await engine.runUntil(async () => {
      await engine.assembler.tick(new AbortController().signal);
      return terminalStatuses.includes((await this.batchOf(id)).status);
    }, stepMs);
    const batch = await this.batchOf(id);
    return { batch, ...(await resultLines(this.stage, batch)) };
  }
}
