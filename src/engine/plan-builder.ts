// Builds the plan of a batch from its input: in the planning thread, or at once when the input is
// small. A plan appears whole or not at all.

import type { BlobStore, BlobWriter } from "../core/blob-store.ts";
import type { InputRules } from "../core/input-validator.ts";
import type { NewShard } from "../core/store.ts";
import { PlanPass, type Verdict } from "./plan-pass.ts";
import type { PassWork, PlanningThread } from "./planning-thread.ts";

export interface PlanInput {
  blobs: BlobStore;
  thread: PlanningThread;
  inputKey: string;
  rules: InputRules;
  /** Where the plan goes. Nothing is written when the input is refused. */
  planKey: string;
  shardLines: number;
  /** The name under which upstreams know a model. */
  resolve: (requestedModel: string) => string;
  /** Throws when the planning is to be given up. Asked once in a while. */
  checkpoint(): void;
}

export type BuiltPlan =
  | {
      ok: true;
      total: number;
      promptTokens: number;
      models: string[];
      shards: NewShard[];
    }
  | (Verdict & { ok: false });

/** Handing a smaller input to the thread would take longer than the pass. */
const SMALL_INPUT_BYTES = 1024 * 1024;

/** Reads the input, and writes the plan when all lines keep the rules. */
export async function buildPlan(input: PlanInput): Promise<BuiltPlan> {
  const { blobs, thread, planKey, rules, shardLines, resolve } = input;
  const reader = await blobs.open(input.inputKey);
  let writer: BlobWriter | undefined;
  const work: PassWork = {
    reader,
    rules,
    shardLines,
    checkpoint: () => input.checkpoint(),
    write: async (bytes) => {
      writer ??= await blobs.create(planKey);
      await writer.write(bytes);
    },
  };
  try {
    const isSmall = reader.sizeBytes <= SMALL_INPUT_BYTES;
    const verdict = await (isSmall ? passAtOnce(work) : thread.run(work));
    if (!verdict.ok) return verdict;
    await writer?.commit();
    const { models } = verdict;
    const shards = verdict.shards.map(({ modelIndex, ...range }): NewShard => {
      const requestedModel = models[modelIndex] as string;
      return { model: resolve(requestedModel), requestedModel, ...range };
    });
    return { ...verdict, shards };
  } catch (error) {
    await writer?.abort();
    throw error;
  } finally {
    await reader.close();
  }
}

async function passAtOnce({ reader, checkpoint, write, ...options }: PassWork): Promise<Verdict> {
  checkpoint();
  const bytes = await reader.read(0, reader.sizeBytes);
  const readEarlier = (start: number, length: number) => bytes.subarray(start, start + length);
  const pass = new PlanPass({ ...options, readEarlier });
  pass.add(bytes);
  const plan = pass.finish();
  let piece = plan.next();
  for (; !piece.done; piece = plan.next()) {
    checkpoint();
    await write(piece.value);
  }
  return piece.value;
}
