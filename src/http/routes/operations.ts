// The routes for those who run the server: is it alive, can it work, and how much of it.
import type { Metrics } from "../../observability/metrics.ts";
import type { App } from "../app.ts";

export interface ReadinessCheck {
  upstream: string;
  /** Null when the whole upstream is meant. */
  model: string | null;
  state: string;
  /** Null when nothing is wrong. */
  reason: string | null;
}

export interface Readiness {
  ready: boolean;
  checks: readonly ReadinessCheck[];
}

export function addOperationsRoutes(
  app: App,
  { readiness, metrics }: { readiness: () => Readiness; metrics: Metrics },
): void {
  app.get("/healthz", () => ({ status: "ok" }));

  app.get("/readyz", (_request, reply) => {
    const { ready, checks } = readiness();
    return reply.code(ready ? 200 : 503).send({ ready, checks });
  });

  app.get("/metrics", async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
