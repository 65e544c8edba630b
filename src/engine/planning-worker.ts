// The planning thread's own side: runs the passes it is sent, one after the other. Reads and writes
// nothing itself; it asks the engine.

import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import { PlanPass } from "./plan-pass.ts";
import { type FromThread, type PlanningJob, SIGNAL, type ToThread } from "./planning-messages.ts";

/** Nobody wants the rest of the pass. */
class Stopped extends Error {
  override readonly name = "Stopped";
}

/** One pass's connection to the engine. */
class Conversation {
  readonly #port: MessagePort;
  readonly #signal: PlanningJob["signal"];
  readonly #chunks: (Uint8Array<ArrayBuffer> | null)[] = [];

  constructor({ port, signal }: PlanningJob) {
    this.#port = port;
    this.#signal = signal;
  }

  tell(message: FromThread, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  /** Waits for the next chunk; null at the end of the input. */
  nextChunk(): Uint8Array<ArrayBuffer> | null {
    while (this.#chunks.length === 0) {
      const message = this.#receive();
      if (message.kind === "chunk") this.#chunks.push(message.bytes);
    }
    return this.#chunks.shift() as Uint8Array<ArrayBuffer> | null;
  }

  /** Tells what asks for an answer, and waits for that. */
  ask(question: FromThread, transfer?: ArrayBuffer[]): boolean | Uint8Array | null {
    this.tell(question, transfer);
    for (;;) {
      const message = this.#receive();
      if (message.kind === "answer") return message.value;
      this.#chunks.push(message.bytes);
    }
  }

  #receive(): ToThread {
    for (;;) {
      const sent = Atomics.load(this.#signal, SIGNAL.sent);
      if (Atomics.load(this.#signal, SIGNAL.stopped) === 1) throw new Stopped();
      const received = receiveMessageOnPort(this.#port);
      if (received) return received.message as ToThread;
      Atomics.wait(this.#signal, SIGNAL.sent, sent);
    }
  }
}

function run(job: PlanningJob): void {
  const engine = new Conversation(job);
  const pass = new PlanPass({
    rules: { ...job.rules, serves: (model) => engine.ask({ kind: "serves", model }) as boolean },
    shardLines: job.shardLines,
    readEarlier: (start, length) => engine.ask({ kind: "earlier", start, length }) as Uint8Array,
  });
  while (!pass.stopped) {
    const chunk = engine.nextChunk();
    if (!chunk) break;
    pass.add(chunk);
    engine.tell({ kind: "spent", memory: chunk.buffer }, [chunk.buffer]);
  }
  const plan = pass.finish();
  let piece = plan.next();
  for (; !piece.done; piece = plan.next()) {
    engine.ask({ kind: "plan", bytes: piece.value }, [piece.value.buffer]);
  }
  engine.tell({ kind: "verdict", verdict: piece.value });
}

parentPort?.on("message", (job: PlanningJob) => {
  try {
    run(job);
  } catch (error) {
    if (!(error instanceof Stopped)) job.port.postMessage({ kind: "failed", error });
  }
});
