// The routes for those who run the server: is it alive, can it work, and how much of it.
import type { Metrics } from "../../observability/metrics.ts";
import type { App } from "../app.ts";
import { Health, ReadinessObject } from "../schemas/readiness-object.ts";
import { reference } from "../schemas/schema.ts";
import { LONGEST_RETRY_AFTER_SECONDS } from "../temporary-refusal.ts";

const tags = ["Operations"];

export interface ReadinessCheck {
  upstream: string;
  /** Null when the whole upstream is meant. */
  model: string | null;
  state: string;
  /** Null when nothing is wrong. */
  reason: string | null;
}

export interface WorkerCheck {
  number: number;
  state: string;
  /** Null when nothing is wrong. */
  reason: string | null;
}

export interface Readiness {
  ready: boolean;
  checks: readonly ReadinessCheck[];
  /** Left out where there are none. */
  workers?: readonly WorkerCheck[];
  /** The database that nodes share. Left out where there is but one node. */
  database?: { state: "ok" | "unreachable"; reason: string | null };
  /** Left out where there is but one. */
  nodes?: readonly NodeCheck[];
}

/** A living node, and what it has on each lane. */
export interface NodeCheck {
  id: string;
  /** The one that answers. */
  isSelf: boolean;
  host: string;
  /** Epoch ms. */
  startedAt: number;
  role: string;
  lanes: readonly { upstream: string; model: string; inFlight: number; limit: number }[];
}

function nodeToWire({ id, isSelf, host, startedAt, role, lanes }: NodeCheck) {
  return {
    id,
    self: isSelf,
    host,
    started_at: Math.floor(startedAt / 1000),
    role,
    lanes: lanes.map(({ upstream, model, inFlight, limit }) => ({
      upstream,
      model,
      in_flight: inFlight,
      limit,
    })),
  };
}

export function addOperationsRoutes(
  app: App,
  {
    readiness,
    metrics,
    exposeMetrics,
  }: {
    readiness: () => Promise<Readiness>;
    metrics: Metrics;
    exposeMetrics: () => Promise<string>;
  },
): void {
  app.get(
    "/healthz",
    { schema: { operationId: "getHealth", tags, response: { 200: reference(Health) } } },
    () => ({ status: "ok" as const }),
  );

  const checked = reference(ReadinessObject);
  app.get(
    "/readyz",
    { schema: { operationId: "getReadiness", tags, response: { 200: checked, 503: checked } } },
    async (_request, reply) => {
      const { ready, checks, workers, database, nodes } = await readiness();
      if (!ready) reply.code(503).header("retry-after", LONGEST_RETRY_AFTER_SECONDS);
      return {
        ready,
        checks: [...checks],
        ...(workers && { workers: [...workers] }),
        ...(database && { database }),
        ...(nodes && { nodes: nodes.map(nodeToWire) }),
      };
    },
  );

  const content = { "text/plain": { schema: { type: "string" } } };
  app.get(
    "/metrics",
    {
      schema: {
        operationId: "getMetrics",
        tags,
        response: { 200: { description: "Metrics for Prometheus.", content } },
      },
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await exposeMetrics()),
  );
}
