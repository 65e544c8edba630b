// The metrics of several processes as if they were one's: sums, but for the few of Node.js for which that
// makes no sense. What a process that has ended had counted is not lost.
import { AggregatorRegistry, type Registry } from "prom-client";

/** What one process has measured. */
export type MetricsSnapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

export function snapshotOf(registry: Registry): Promise<MetricsSnapshot> {
  return registry.getMetricsAsJSON();
}

/** One snapshot of them all; of what can't be added up, the value of the first that has it. */
export function sumOf(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  return aggregate(snapshots).getMetricsAsJSON();
}

/** The text for Prometheus. */
export function textOf(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return aggregate(snapshots).metrics();
}

/** What stays true when the process is gone: counts, but no states. */
export function countsIn(snapshot: MetricsSnapshot): MetricsSnapshot {
  const lasting: readonly string[] = ["counter", "histogram"];
  return snapshot.filter(({ type }) => lasting.includes(String(type)));
}

function aggregate(snapshots: readonly MetricsSnapshot[]): Registry {
  const complete = snapshots.map((snapshot) =>
    snapshot.map((metric) =>
      // Such as the time at which the process was started.
      metric.aggregator === "omit" ? { ...metric, aggregator: "first" as const } : metric,
    ),
  );
  return AggregatorRegistry.aggregate(complete);
}
