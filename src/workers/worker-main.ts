// The program of a worker: an engine over the data directory of the server that started it, with its share
// of the upstreams. It ends when told to, and at once when the server is gone. Arguments: directory, number.

import { unpackWorkerConfig } from "../config/worker-config.ts";
import { systemClock } from "../core/clock.ts";
import { Signals } from "../core/signals.ts";
import { createLog } from "../observability/log.ts";
import { snapshotOf } from "../observability/metrics-sum.ts";
import { createMetrics } from "../observability/metrics.ts";
import { announceWorker } from "../storage/disk/worker-presence.ts";
import { engineOf, startLanes } from "./engine-parts.ts";
import type { Assignment, WorkerReport } from "./messages.ts";
import { ServerLink } from "./server-link.ts";
import { openBlobs, openStore } from "./storage.ts";

interface RunningWorker {
  report(): Promise<WorkerReport>;
  stop(): Promise<void>;
}

// Ctrl-C reaches every process of the terminal; the server says when to stop, and how.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);

const [directory = ""] = process.argv.slice(2);
const signals = new Signals();
const link = new ServerLink(process, signals, start);
announceWorker(directory);
link.tell({ kind: "present" });

async function start({ config: packed, number, nodeId }: Assignment): Promise<RunningWorker> {
  const config = unpackWorkerConfig(packed);
  const clock = systemClock;
  const log = createLog(config.logLevel).child({ worker: number });
  const metrics = createMetrics(null);
  const store = await openStore(config, clock);
  const blobs = await openBlobs(config, log, number);
  const surroundings = { config, store, clock, log, metrics };
  const { lanes, close } = await startLanes(surroundings, {
    turnOf: (upstream) => link.turnOf(upstream),
  });
  const engine = engineOf(surroundings, { nodeId, blobs, lanes, signals });
  engine.start();
  log.info({ pid: process.pid }, "worker started");
  return {
    report: async () => {
      lanes.publishInFlight();
      return { lanes: lanes.report(), metrics: await snapshotOf(metrics.registry) };
    },
    stop: async () => {
      await engine.stop();
      await close();
      await blobs.close();
      await store.close();
    },
  };
}
