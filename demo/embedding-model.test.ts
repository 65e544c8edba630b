// The real model behind its queue: what is merged, what stays in order, what is refused and when it ends.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  EmbeddingModel,
  EmbeddingModelStoppedError,
  EmbeddingQueueFullError,
} from "./embedding-model.ts";
import { cosineSimilarity } from "./route-tickets.ts";

describe("EmbeddingModel", () => {
  let model: EmbeddingModel;
  beforeAll(async () => {
    model = await EmbeddingModel.start();
  });
  afterAll(() => model.stop());

  it("merges waiting calls into batches of at most 32 and gives each call its own vector", async () => {
    const texts = Array.from({ length: 40 }, (_, i) => `parcel number ${i + 10}`);
    const before = model.counters;
    const merged = await Promise.all(texts.map((text) => model.embed([text])));

    expect(model.counters.texts - before.texts).toBe(40);
    // The first call finds the worker idle and goes alone; the other 39 wait for it.
    expect(model.counters.batches - before.batches).toBe(3);
    expect(model.counters.largestBatch).toBe(32);
    for (const i of [0, 1, 20, 39]) {
      const [alone] = await model.embed([texts[i]!]);
      expect(cosineSimilarity(merged[i]![0]!.vector, alone!.vector)).toBeCloseTo(1, 5);
    }
  });

  it("keeps the order of a call whose texts need several batches", async () => {
    const short = "refund";
    const long = "I would like to know where my parcel is, because it is late. ".repeat(4);
    const before = model.counters;
    const embeddings = await model.embed([short, long, short]);

    expect(model.counters.batches - before.batches).toBe(2);
    expect(embeddings[0]!.vector).toEqual(embeddings[2]!.vector);
    expect(embeddings[0]!.tokenCount).toBeLessThan(embeddings[1]!.tokenCount);
  });

  it("reads a newline as a space", async () => {
    const [broken, plain] = await model.embed(["late\nparcel", "late parcel"]);
    expect(broken).toEqual(plain);
  });

  it("puts texts of similar meaning close together", async () => {
    const [ticket, near, far] = await model.embed([
      "Where is my parcel?",
      "My package has not been delivered yet.",
      "I forgot my password.",
    ]);
    expect(cosineSimilarity(ticket!.vector, near!.vector)).toBeGreaterThan(
      cosineSimilarity(ticket!.vector, far!.vector) + 0.2,
    );
  });

  it("refuses what does not fit into its queue, and rejects what waits when it stops", async () => {
    const other = await EmbeddingModel.start();
    const waiting = other.embed(Array.from({ length: 1024 }, () => "hello"));
    const refused = other.embed(Array.from({ length: 33 }, () => "hello"));
    await expect(refused).rejects.toThrow(EmbeddingQueueFullError);

    const [, outcome] = await Promise.allSettled([other.stop(), waiting]);
    expect(outcome).toMatchObject({ reason: expect.any(EmbeddingModelStoppedError) as unknown });
    await expect(other.embed(["hello"])).rejects.toThrow("was stopped");
  });
});
