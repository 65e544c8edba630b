// A server that is killed over and over, and the ledger that is kept meanwhile: in which phase each
// kill hit, what was in flight and what was recorded then. What must hold in the end is computed
// from the ledger; nothing of the server's own accounts is believed.
import { setTimeout as delay } from "node:timers/promises";
import type { Batch } from "openai/resources/batches";
import type { Simulator } from "../../src/simulator/simulator.ts";
import type { ChatLine } from "./input-file.ts";
import { type KilledBatch, readKilledBatch } from "./killed-data.ts";
import { type ServerOptions, ServerProcess } from "./server-process.ts";
import { until } from "./until.ts";

export const PHASES = ["upload", "validating", "running", "assembling", "cancelling"] as const;
export type Phase = (typeof PHASES)[number];

/** One batch of the campaign and what is known of it. */
export interface Story {
  batchId: string;
  /** In the order of the file. */
  lines: readonly ChatLine[];
  kills: Kill[];
}

interface Kill {
  /** How often each line had been sent by then. */
  timesSent: number[];
  /** Line numbers with a durable result. */
  recorded: Set<number>;
  /** Sent since the last start, and not durable. */
  inFlight: number;
}

const SETTLED_LOOKS = 4;

export class CrashCampaign implements AsyncDisposable {
  readonly kills: Record<Phase | "other", number> = {
    upload: 0,
    validating: 0,
    running: 0,
    assembling: 0,
    cancelling: 0,
    other: 0,
  };
  server!: ServerProcess;
  readonly #simulator: Simulator;
  readonly #options: ServerOptions;

  constructor(simulator: Simulator, options: ServerOptions) {
    this.#simulator = simulator;
    this.#options = options;
  }

  get dataDir(): string {
    return ServerProcess.dataDir(this.#options.folder);
  }

  get total(): number {
    return sum(Object.values(this.kills));
  }

  async start(): Promise<void> {
    this.server = await ServerProcess.start(this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server?.kill();
  }

  /**
   * Kills the server `afterMs` after the batch was seen in one of the statuses, notes what it left,
   * and starts it again. Answers the phase that was really hit; null, and no kill, when the batch
   * had left those statuses before it was seen.
   */
  async strike(
    story: Story,
    statuses: readonly Batch["status"][],
    afterMs: number,
  ): Promise<Phase | "other" | null> {
    if (!(await this.#seeStatus(story.batchId, statuses))) return null;
    await delay(afterMs);
    const wasSending = this.#simulator.stats().inFlight > 0;
    await this.server.kill();
    await this.#settle();
    const left = await readKilledBatch(this.dataDir, story.batchId);
    if (!left) throw new Error(`the killed server did not know batch ${story.batchId}`);
    const phase = phaseOf(left, wasSending);
    this.kills[phase]++;
    story.kills.push(this.#note(story, left));
    await this.start();
    return phase;
  }

  async #seeStatus(batchId: string, statuses: readonly Batch["status"][]): Promise<boolean> {
    const order = ["validating", "in_progress", "finalizing", "completed", "failed", "expired"];
    const wanted = Math.max(...statuses.map((status) => order.indexOf(status)));
    const { status } = await until(
      `batch ${batchId} to be ${statuses.join(" or ")}`,
      async () => {
        const batch = await this.server.openai.batches.retrieve(batchId);
        const isPast = order.indexOf(batch.status) > wanted || batch.status === "cancelled";
        return statuses.includes(batch.status) || isPast ? batch : undefined;
      },
      { pauseMs: 2 },
    );
    return statuses.includes(status);
  }

  /** What the killed server had sent may still be on its way to the simulator. */
  async #settle(): Promise<void> {
    let before = -1;
    let looks = 0;
    await until("the simulator to have seen all that was sent", () => {
      const { requests, inFlight } = this.#simulator.stats();
      looks = inFlight === 0 && requests === before ? looks + 1 : 0;
      before = requests;
      return looks === SETTLED_LOOKS;
    });
  }

  #timesSent({ lines }: Story): number[] {
    return lines.map(({ prompt }) => this.#simulator.timesSent(prompt));
  }

  #note(story: Story, { recorded }: KilledBatch): Kill {
    const timesSent = this.#timesSent(story);
    const before = story.kills.at(-1);
    const sentSince = sum(timesSent) - sum(before?.timesSent ?? []);
    const recordedSince = recorded.size - (before?.recorded.size ?? 0);
    return { timesSent, recorded, inFlight: sentSince - recordedSince };
  }

  /** What is wrong with the calls made for an ended batch; empty when nothing is. */
  problemsOfCalls(story: Story): string[] {
    const problems: string[] = [];
    const timesSent = this.#timesSent(story);
    const calls = sum(timesSent);
    const inFlight = sum(story.kills.map((kill) => kill.inFlight));
    const allowed = story.lines.length + inFlight;
    if (calls > allowed) problems.push(`${calls} calls, at most ${allowed} are allowed`);
    story.kills.forEach(({ recorded, timesSent: before }, at) => {
      for (const lineNumber of recorded) {
        if (timesSent[lineNumber - 1] === before[lineNumber - 1]) continue;
        problems.push(`line ${lineNumber} was recorded at kill ${at + 1}, and sent again`);
      }
      const lost = [...(story.kills[at - 1]?.recorded ?? [])].filter((line) => !recorded.has(line));
      if (lost.length > 0)
        problems.push(`lost between kills ${at} and ${at + 1}: lines ${lost.join(", ")}`);
    });
    return problems.slice(0, 20);
  }

  summary(): string {
    const counts = Object.entries(this.kills).map(([phase, count]) => `${phase} ${count}`);
    return `${this.total} kills: ${counts.join(", ")}`;
  }
}

function phaseOf({ batch, recorded }: KilledBatch, wasSending: boolean): Phase | "other" {
  switch (batch.status) {
    case "validating":
      return batch.planningStartedAt === null ? "other" : "validating";
    case "in_progress":
      return wasSending && recorded.size < batch.counts.total ? "running" : "other";
    case "finalizing":
      return "assembling";
    case "cancelling":
      return "cancelling";
    case "completed":
    case "failed":
    case "expired":
    case "cancelled":
      return "other";
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
