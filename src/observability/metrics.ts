// The metrics of one Offpeak process, in a registry of its own. Names and labels are public: people
// build alerts on them.
import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";
import type { BatchStatus } from "../core/batch.ts";
import { type NodeRole, nodeRoles } from "../core/node-store.ts";
import { CommitTimes } from "./commit-times.ts";
import { TalliedCounter } from "./tallied-counter.ts";

/** prom-client's 10 ms would wake an idle process a hundred times a second: most of what it costs. */
const LAG_SAMPLED_EVERY_MS = 200;

export type Metrics = ReturnType<typeof createMetrics>;

/** What is asked of the Store at every scrape. */
export interface WorkCounts {
  countByStatus(): Promise<Record<BatchStatus, number>>;
  countQueuedLines(): Promise<number>;
}

/**
 * Makes all metrics.
 * @param work null: another process says it
 */
export function createMetrics(work: WorkCounts | null) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_SAMPLED_EVERY_MS });

  if (work) addWorkGauges(work, registers);
  const nodes = new Gauge({
    name: "offpeak_nodes",
    help: "Living nodes that share the database, by role, as this one last learnt.",
    labelNames: ["role"] as const,
    registers,
  });

  return {
    registry,
    /** @param roles of all living nodes */
    showNodes: (roles: readonly NodeRole[]) => {
      for (const role of nodeRoles) nodes.set({ role }, roles.filter((one) => one === role).length);
    },
    lines: new TalliedCounter({
      name: "offpeak_lines_total",
      help: "Lines with a recorded result, by outcome.",
      labelNames: ["outcome"] as const,
      registers,
    }),
    attempts: new TalliedCounter({
      name: "offpeak_attempts_total",
      help: "Requests sent to upstreams, by what came of them.",
      labelNames: ["upstream", "result"] as const,
      registers,
    }),
    requestsInFlight: new Gauge({
      name: "offpeak_requests_in_flight",
      help: "Requests sent to an upstream and not yet answered.",
      labelNames: ["upstream", "model"] as const,
      registers,
    }),
    /** Set to 1 when a lane pauses; `remove` its labels when it goes on. */
    lanePaused: new Gauge({
      name: "offpeak_lane_paused",
      help: "1 for each lane that is paused, with the reason.",
      labelNames: ["upstream", "model", "reason"] as const,
      // Paused in two processes is paused, not twice as much so.
      aggregator: "max",
      registers,
    }),
    journalCommits: new CommitTimes(registers),
    workerDeaths: new Counter({
      name: "offpeak_worker_deaths_total",
      help: "Worker processes that ended unasked.",
      registers,
    }),
    webhookAttempts: new Counter({
      name: "offpeak_webhook_attempts_total",
      help: "Attempts to deliver webhook events: delivered, failed, or given_up after the last one.",
      labelNames: ["result"] as const,
      registers,
    }),
    httpRequests: new Counter({
      name: "offpeak_http_requests_total",
      help: "HTTP requests answered, by method, route and status.",
      labelNames: ["method", "route", "status"] as const,
      registers,
    }),
  };
}

/** What the Store counts; while it does not answer, that alone is said. */
function addWorkGauges(work: WorkCounts, registers: Registry[]): void {
  let counting: Promise<{ batches: Record<BatchStatus, number>; lines: number } | null> | null =
    null;
  const count = () => {
    counting ??= Promise.all([work.countByStatus(), work.countQueuedLines()])
      .then(([batches, lines]) => ({ batches, lines }))
      .catch(() => null)
      .finally(() => (counting = null));
    return counting;
  };
  new Gauge({
    name: "offpeak_storage_up",
    help: "1 when the Store answered at this scrape, else 0.",
    registers,
    async collect() {
      this.set((await count()) === null ? 0 : 1);
    },
  });
  new Gauge({
    name: "offpeak_batches",
    help: "Batches by status. Left out while the Store does not answer.",
    labelNames: ["status"] as const,
    registers,
    async collect() {
      this.reset();
      const counts = await count();
      for (const [status, batches] of Object.entries(counts?.batches ?? {})) {
        this.set({ status }, batches);
      }
    },
  });
  new Gauge({
    name: "offpeak_queued_lines",
    help: "Lines of batches in progress that have no result yet, by what the Store knows. Left out while it does not answer.",
    registers,
    async collect() {
      const counts = await count();
      if (counts === null) this.remove();
      else this.set(counts.lines);
    },
  });
}
